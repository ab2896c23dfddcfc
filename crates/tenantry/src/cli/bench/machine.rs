//! What a run was measured on: the machine, the versions, the database's settings; and how busy it was.

use std::fmt::{self, Display, Formatter};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use crate::cli::Failure;
use crate::storage::bench;
use crate::storage::describe;

/// Facts about a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) processor: String,
    pub(super) memory_gib: String,
    pub(super) system: String,
    pub(super) tenantry: String,
    pub(super) postgres: String,
    /// Settings of the database that matter, by name.
    pub(super) settings: Vec<(String, String)>,
}

impl Machine {
    /// Of this machine and this database.
    pub(super) async fn of(admin: &Client) -> Result<Self, Failure> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kib = after(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kib: u64 = kib.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or_default();
        let facts = bench::facts(admin).await.map_err(|error| Failure::wrong(describe(&error)))?;
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: after(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory_gib: (kib / 1024 / 1024).to_string(),
            system: format!("{} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim()),
            tenantry: format!(
                "{} ({})",
                env!("CARGO_PKG_VERSION"),
                if cfg!(debug_assertions) { "debug build: figures mean nothing" } else { "release build" }
            ),
            postgres: facts.version,
            settings: facts.settings,
        })
    }
}

impl Display for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, memory_gib, system, tenantry, postgres, settings } = self;
        let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        writeln!(f, "{cores} cores ({processor}), {memory_gib} GiB, {system}")?;
        write!(f, "Tenantry {tenantry}, PostgreSQL {postgres}: {}", settings.join(", "))
    }
}

/// How much processor time everything on this machine used since an instant; where the system tells.
pub(super) struct Busy {
    ticks: Option<u64>,
    since: Instant,
}

/// Ticks a second of the figures that the system gives.
const TICKS: f64 = 100.0;

impl Busy {
    pub(super) fn now() -> Self {
        Self { ticks: ticks(), since: Instant::now() }
    }

    /// Microseconds of processor time for each event: client, server and database together.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(super) fn per_event(&self, events: u64) -> Option<f64> {
        let used = ticks()?.checked_sub(self.ticks?)?;
        (events > 0 && self.since.elapsed().as_millis() > 0).then(|| used as f64 / TICKS * 1e6 / events as f64)
    }
}

/// Time that no processor was idle in, as `/proc/stat` counts it: user, nice, system, irq and softirq.
fn ticks() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let figures: Vec<u64> =
        text.lines().next()?.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().map(|index| figures.get(*index).copied()).sum()
}
