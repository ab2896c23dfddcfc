//! The command line: one file for each command.
//!
//! Exit codes: 0 fine, 1 something is wrong, 2 wrong use. Results go to standard output, everything else to standard
//! error; `--json` makes every result JSON.

mod audit;
mod bench;
mod catalog;
mod charge;
mod database;
mod doctor;
mod failure;
mod key;
mod migrate;
mod notifications;
mod openapi;
mod output;
mod sandbox;
mod serve;
mod simulate;
mod stripe;
mod tenant;
mod token;
mod usage;
mod verify;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::failure::Failure;
use self::output::Output;
use crate::billing::{catalog_file, catalog_store};
use crate::config::{Config, Overrides};
use crate::deployment::{Deployment, Purpose};
use crate::env::Env;
use crate::server::clock;

/// The billing backend for multi-tenant SaaS: one binary and PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
struct Common {
    /// Folder of the private database and of generated secrets [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file [default: tenantry.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The admin's database URL; others see it in the process list, so prefer DATABASE_ADMIN_URL
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// The plan catalog [default: plans.toml]
    #[arg(long, global = true, value_name = "FILE")]
    plans: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Bring the database's schema to the version of this binary
    Migrate,
    /// Look for what would keep the server from running well
    Doctor,
    /// Prove the books: counters, rollups, keys, charges, audit chains
    Verify(verify::Verify),
    /// Audit trails: export them, and check what was exported
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print the OpenAPI document of the HTTP interface
    Openapi,
    /// Print a user's token, signed with the development secret
    Token(token::Token),
    /// API keys
    #[command(subcommand)]
    Key(key::Key),
    /// The database, for other tools
    #[command(subcommand)]
    Database(database::DatabaseCommand),
    /// The plan catalog
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// The stand-in for Stripe: run it alone, or advance its clock
    Sandbox(sandbox::SandboxCommand),
    /// What Stripe told us
    #[command(subcommand)]
    Stripe(stripe::StripeCommand),
    /// Tenants
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// What closed periods were charged with: list it, explain it, reckon it again from the raw events
    #[command(subcommand)]
    Charge(charge::ChargeCommand),
    /// Reckon what was used under another plan catalog, the one of --plans
    Simulate(simulate::Simulate),
    /// What tenants were told, and whether the mails went out
    Notifications(notifications::Notifications),
    /// Usage: import files, report
    #[command(subcommand)]
    Usage(usage::Usage),
    /// Measure a running server
    Bench(bench::Bench),
}

/// What commands work with.
struct Session {
    config: Config,
    env: Env,
    out: Output,
}

impl Session {
    /// Works on the database. A private cluster that does not run is started for as long as the work takes.
    async fn on_database<T>(&self, work: impl AsyncFnOnce(&Deployment) -> Result<T, Failure>) -> Result<T, Failure> {
        let opened = Deployment::open(&self.config, &self.env, Purpose::Command).await?;
        // A command reads the deployment's clock once: it is over before that is advanced again.
        if self.config.follows_sandbox_clock() {
            self.env.clock.put_ahead(clock::offset_seconds(&opened.db).await?);
        }
        let worked = work(&opened).await;
        opened.close().await?;
        worked
    }

    /// The same with the catalog's plans in the database: a server that never ran has not loaded them yet.
    async fn on_loaded_database<T>(
        &self,
        work: impl AsyncFnOnce(&Deployment) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.on_database(async |opened| {
            if !catalog_store::is_loaded(&opened.db).await? {
                let catalog = catalog_file::read(&self.config.plans)?;
                catalog_store::load(&opened.db, &self.env, &catalog).await?;
            }
            work(opened).await
        })
        .await
    }
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // The process-wide default; the only provider that is built in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::wrong(format!("cannot start: {error}")).report(),
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let overrides = Overrides {
        file: cli.common.config,
        data_dir: cli.common.data_dir,
        database_url: cli.common.database_url,
        listen: listen_of(&cli.command),
        plans: cli.common.plans,
        no_sandbox: matches!(&cli.command, Command::Serve(serve) if serve.no_sandbox),
    };
    let config = Config::load(&overrides)?;
    let is_server = matches!(cli.command, Command::Serve(_));
    output::install_logs(config.log_format, is_server);
    let env = if config.follows_sandbox_clock() { Env::development() } else { Env::system() };
    let session = Session { config, env, out: Output::new(cli.common.json) };
    match cli.command {
        Command::Serve(_) => serve::run(&session).await,
        Command::Migrate => migrate::run(&session).await,
        Command::Doctor => doctor::run(&session).await,
        Command::Verify(verify) => verify::run(&session, &verify).await,
        Command::Audit(command) => audit::run(&session, &command).await,
        Command::Openapi => openapi::run(&session),
        Command::Token(token) => token::run(&session, &token),
        Command::Key(key) => key::run(&session, key).await,
        Command::Database(command) => database::run(&session, &command).await,
        Command::Catalog(command) => catalog::run(&session, &command).await,
        Command::Sandbox(command) => sandbox::run(&session, &command).await,
        Command::Stripe(command) => stripe::run(&session, command).await,
        Command::Tenant(tenant) => tenant::run(&session, tenant).await,
        Command::Charge(command) => charge::run(&session, &command).await,
        Command::Simulate(simulate) => simulate::run(&session, &simulate).await,
        Command::Notifications(wanted) => notifications::run(&session, &wanted).await,
        Command::Usage(usage) => usage::run(&session, usage).await,
        Command::Bench(bench) => bench::run(&session, bench).await,
    }
}

fn listen_of(command: &Command) -> Option<SocketAddr> {
    if let Command::Serve(serve) = command { serve.listen } else { None }
}
