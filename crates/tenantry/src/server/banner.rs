//! What a person sees when the server is up.

use std::net::SocketAddr;

use tenantry_domain::plan::Catalog;

use crate::config::{Config, Environment, JwtSecret};

/// A user to begin with; any UUID does.
const EXAMPLE_USER: &str = "11111111-1111-4111-8111-111111111111";

/// What it tells.
pub(super) struct Banner<'a> {
    pub(super) config: &'a Config,
    pub(super) address: SocketAddr,
    pub(super) catalog: &'a Catalog,
    pub(super) secret: Option<&'a JwtSecret>,
    /// What stands behind billing.
    pub(super) stripe: &'a str,
}

/// Prints at most 8 lines on standard output.
pub(super) fn print(banner: &Banner<'_>) {
    use std::io::Write as _;
    // A closed standard output is no reason not to serve.
    let _ = std::io::stdout().write_all(text(banner).as_bytes());
}

fn text(banner: &Banner<'_>) -> String {
    let Banner { config, address, catalog, secret, stripe } = banner;
    let mode = match config.env {
        Environment::Development => "development",
        Environment::Production => "production",
    };
    let (data, database) = if config.is_embedded() {
        (config.data_dir.display().to_string(), "its private PostgreSQL")
    } else {
        ("in the database of the configured URLs".to_owned(), "your PostgreSQL")
    };
    let plans: Vec<String> = catalog
        .plans()
        .iter()
        .map(|plan| if plan.default { format!("{} (default)", plan.id) } else { plan.id.to_string() })
        .collect();
    let next = match secret {
        Some(secret) if secret.is_generated => format!(
            "TOKEN=$({} token --user {EXAMPLE_USER}); curl -H \"Authorization: Bearer $TOKEN\" http://{address}/api/me",
            program(config)
        ),
        _ => format!("curl -H \"Authorization: Bearer <a token of your issuer>\" http://{address}/api/me"),
    };
    format!(
        "Tenantry {version} in {mode} mode, on {database}\n  \
         API    http://{address}\n  \
         Docs   http://{address}/docs\n  \
         Data   {data}\n  \
         Plans  {plans} ({file})\n  \
         Stripe {stripe}\n  \
         Next   {next}\n",
        version = env!("CARGO_PKG_VERSION"),
        plans = plans.join(", "),
        file = config.plans.display(),
    )
}

/// How the program was called, with the data folder where it is not the default one.
fn program(config: &Config) -> String {
    let name = std::env::args().next().unwrap_or_else(|| "tenantry".to_owned());
    if config.data_dir == std::path::Path::new("./data") {
        name
    } else {
        format!("{name} --data-dir {}", config.data_dir.display())
    }
}
