//! A mail server for tests: speaks SMTP over a socket, keeps what it is given, refuses when told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A mail as it came over the wire.
#[derive(Debug, Clone)]
pub(super) struct Caught {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    /// Headers and body, lines as they were sent.
    pub(super) data: String,
}

impl Caught {
    /// The lines of the header, folded ones joined.
    pub(super) fn headers(&self) -> Vec<String> {
        let mut headers: Vec<String> = Vec::new();
        for line in self.data.lines().take_while(|line| !line.is_empty()) {
            match headers.last_mut().filter(|_| line.starts_with([' ', '\t'])) {
                Some(last) => last.push_str(line),
                None => headers.push(line.to_owned()),
            }
        }
        headers
    }

    pub(super) fn header(&self, name: &str) -> String {
        let start = format!("{name}: ");
        self.headers().iter().find_map(|line| line.strip_prefix(&start).map(str::to_owned)).unwrap()
    }
}

#[derive(Debug, Default)]
struct State {
    caught: Vec<Caught>,
    /// What the next mails are answered with, once they were sent whole; then 250.
    replies: VecDeque<&'static str>,
}

#[derive(Debug, Clone)]
pub(super) struct SmtpServer {
    pub(super) url: String,
    state: Arc<Mutex<State>>,
}

impl SmtpServer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let server = Self { url, state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        server
    }

    pub(super) fn answer_next(&self, replies: &[&'static str]) {
        self.state.lock().unwrap().replies.extend(replies);
    }

    /// Every mail that was sent whole, refused ones too.
    pub(super) fn caught(&self) -> Vec<Caught> {
        self.state.lock().unwrap().caught.clone()
    }
}

/// One connection; an error ends it.
async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 catcher\r\n").await?;
    let mut mail = Caught { from: String::new(), to: Vec::new(), data: String::new() };
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        let reply = match command.to_ascii_uppercase() {
            upper if upper.starts_with("EHLO") => "250 catcher",
            upper if upper.starts_with("MAIL FROM:") => {
                mail = Caught { from: address(&command), to: Vec::new(), data: String::new() };
                "250 ok"
            }
            upper if upper.starts_with("RCPT TO:") => {
                mail.to.push(address(&command));
                "250 ok"
            }
            upper if upper == "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                loop {
                    line.clear();
                    stream.read_line(&mut line).await?;
                    if line == ".\r\n" {
                        break;
                    }
                    mail.data.push_str(line.strip_prefix('.').unwrap_or(&line));
                }
                let mut state = state.lock().unwrap();
                state.caught.push(mail.clone());
                state.replies.pop_front().unwrap_or("250 taken")
            }
            upper if upper == "QUIT" => "221 bye",
            _ => "250 ok",
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

fn address(command: &str) -> String {
    command.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}
