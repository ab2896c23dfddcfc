//! Runs the sandbox alone: `cargo run -p tenantry-sandbox --example sandbox -- 127.0.0.1:12111 [state file]`.
//!
//! Prints its address on standard output once it listens. The key is `sk_test_sandbox`.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use tenantry_sandbox::{Sandbox, Settings, Source};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let listen: SocketAddr = args.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse()?;
    #[expect(clippy::disallowed_methods, reason = "an example is where time and chance come from")]
    let source = Source::new(jiff::Timestamp::now, rand::random);
    let sandbox = Sandbox::start(Settings {
        listen,
        secret_key: "sk_test_sandbox".to_owned().into(),
        webhook: None,
        state_file: args.next().map(PathBuf::from),
        source,
        on_clock: None,
    })
    .await?;
    println!("{}", sandbox.url());
    tokio::signal::ctrl_c().await?;
    sandbox.stop().await;
    Ok(())
}
