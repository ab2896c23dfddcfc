//! What commands print.

use std::io::{ErrorKind, Write as _};

use serde::Serialize;

use super::failure::Failure;
use crate::config::LogFormat;
use crate::server::telemetry;

/// Standard output, as text or JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result: as JSON where that was asked for, else as the text.
    pub(super) fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        Self::text(&self.text_of(value, text)?)
    }

    /// A result as it is printed.
    pub(super) fn text_of(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<String, Failure> {
        if self.json { Self::pretty(value) } else { Ok(text()) }
    }

    /// Prints JSON whatever was asked for.
    pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
        Self::text(&Self::pretty(value)?)
    }

    fn pretty(value: &impl Serialize) -> Result<String, Failure> {
        serde_json::to_string_pretty(value).map_err(|error| Failure::wrong(error.to_string()))
    }

    /// Prints lines. Whoever reads them may stop reading.
    pub(super) fn text(text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}

/// A table for people.
pub(super) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    // Without borders the first column keeps the space that stood beside one.
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n").collect()
}

/// Logs of a server say what it does; of a command only what goes wrong.
pub(super) fn install_logs(format: LogFormat, is_server: bool) {
    telemetry::install_logs(format, if is_server { "info,refinery_core=warn" } else { "warn" });
}
