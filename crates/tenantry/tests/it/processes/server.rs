//! A server process on a data folder of its own, killed and cleaned up whatever happens.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::support::unique_name;

/// The catalogs of these tests: `calls` with a limit of 200, `tokens` with overage.
const PLANS: &str = "[[plans]]\nid = \"free\"\nname = \"Free\"\nrank = 0\ndefault = true\n[plans.metrics]\n\
                     calls = { included = 200 }\nbytes = { unlimited = true }\n\
                     tokens = { included = 10, overage = { unit_price = \"1\" } }\n";

/// A data folder with a plan catalog.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("tenantry-processes-{}", unique_name()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("plans.toml"), PLANS).unwrap();
        Self(dir)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// The binary on this folder, with nothing of our own environment that it would read.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        for (name, _) in std::env::vars() {
            if ["TENANTRY_", "DATABASE_", "JW", "SMTP_", "STRIPE_", "APP_URL"]
                .iter()
                .any(|start| name.starts_with(start))
            {
                command.env_remove(name);
            }
        }
        command.current_dir(&self.0).arg("--data-dir").arg(self.data()).args(args);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a command prints, which must end well.
    pub(super) fn says(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said.trim().to_owned()
    }

    /// Process id of the folder's PostgreSQL.
    pub(super) fn postmaster(&self) -> Option<u32> {
        let pid = std::fs::read_to_string(self.data().join("postgres/pgdata/postmaster.pid")).ok()?;
        let pid: u32 = pid.lines().next()?.parse().ok()?;
        is_alive(pid).then_some(pid)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(pid) = self.postmaster() {
            signal("-QUIT", pid);
            while is_alive(pid) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        // What is left behind only takes room.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
        && !std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

pub(super) fn signal(name: &str, pid: u32) {
    Command::new("kill").arg(name).arg(pid.to_string()).status().unwrap();
}

/// `tenantry serve`, up and answering.
pub(super) struct Server {
    child: Child,
    pub(super) url: String,
    pub(super) banner: Vec<String>,
    /// Its log.
    pub(super) log: PathBuf,
}

impl Server {
    pub(super) fn start(folder: &Folder) -> Self {
        Self::start_with(folder, &[])
    }

    /// The same with variables of the environment.
    pub(super) fn start_with(folder: &Folder, variables: &[(&str, &str)]) -> Self {
        let log = folder.0.join(format!("server-{}.log", unique_name()));
        let mut command = folder.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut banner = Vec::new();
        while !banner.last().is_some_and(|line: &String| line.trim_start().starts_with("Next")) {
            let Some(line) = lines.next() else {
                let _ = child.wait();
                panic!("the server did not start: {}", std::fs::read_to_string(&log).unwrap());
            };
            banner.push(line.unwrap());
        }
        let url = banner.iter().find_map(|line| line.trim().strip_prefix("API")).unwrap().trim().to_owned();
        Self { child, url, banner, log }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, by this signal, and waits; its exit code.
    pub(super) fn stop(mut self, name: &str) -> Option<i32> {
        signal(name, self.child.id());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already, where a test stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client with a time limit, so that a test that hangs fails.
pub(super) fn client() -> reqwest::Client {
    // Set once for the process; whoever comes later finds it set.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(std::time::Duration::from_mins(1)).build().unwrap()
}
