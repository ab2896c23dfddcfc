//! `tenantry simulate`

mod summary;
mod svg;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use uuid::Uuid;

use self::summary::Summary;
use super::{Failure, Session};
use crate::billing::catalog_file;
use crate::deployment::Deployment;
use crate::usage::month::Month;
use crate::usage::simulate::{self, Line, Simulation, What};

#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// Periods that begin in this month (UTC)
    #[arg(long, value_name = "YYYY-MM")]
    period: Month,
    /// One tenant only
    #[arg(long, value_name = "UUID")]
    tenant: Option<Uuid>,
    /// What a plan is called in the other catalog, where it is not the same; may be given several times
    #[arg(long = "map", value_name = "OLD=NEW", value_parser = renamed)]
    map: Vec<(String, String)>,
    /// Write each metric of each tenant to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw the difference to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn renamed(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err("write OLD=NEW, for instance pro=team".to_owned()),
    }
}

pub(super) async fn run(session: &Session, wanted: &Simulate) -> Result<ExitCode, Failure> {
    let file = &session.config.plans;
    let catalog = catalog_file::read(file)?;
    let renamed: BTreeMap<String, String> = wanted.map.iter().cloned().collect();
    if let Some(unknown) = renamed.values().find(|name| catalog.plan(name).is_none()) {
        return Err(Failure::usage(format!("--map: {} has no plan `{unknown}`", file.display())));
    }
    let simulation = Simulation { catalog: &catalog, renamed: &renamed, month: wanted.period, tenant: wanted.tenant };
    let name = file.display().to_string();
    let summary =
        session.on_database(async |opened| simulated(opened, &simulation, name, wanted.csv.as_deref()).await).await?;
    if let Some(path) = &wanted.svg {
        std::fs::write(path, svg::draw(&summary)).map_err(|error| cannot_write(path, &error))?;
    }
    session.out.print(&summary.json(), || summary.text())?;
    Ok(if summary.gaps().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn cannot_write(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::wrong(format!("{} cannot be written: {error}", path.display()))
}

async fn simulated(
    opened: &Deployment,
    simulation: &Simulation<'_>,
    catalog: String,
    csv: Option<&Path>,
) -> Result<Summary, Failure> {
    let mut summary = Summary::new(simulation.month, catalog);
    let mut lines = match csv {
        Some(path) => {
            let file = File::create(path).map_err(|error| cannot_write(path, &error))?;
            Some((path, Csv::new(BufWriter::new(file)).map_err(|error| cannot_write(path, &error))?))
        }
        None => None,
    };
    simulate::simulate(&opened.db, simulation, |tenant, found| -> Result<(), Failure> {
        if let Some((path, csv)) = &mut lines {
            csv.add(tenant, &found).map_err(|error| cannot_write(path, &error))?;
        }
        summary.add(tenant, &found)
    })
    .await?;
    if let Some((path, csv)) = lines {
        csv.end().map_err(|error| cannot_write(path, &error))?;
    }
    Ok(summary)
}

/// A table of all lines, written while they come.
struct Csv<W: Write>(csv::Writer<W>);

impl<W: Write> Csv<W> {
    fn new(out: W) -> csv::Result<Self> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record([
            "tenant",
            "plan",
            "metric",
            "total",
            "current_cents",
            "simulated_cents",
            "difference_cents",
            "currency",
            "what",
            "period_start",
            "would_be_refused",
            "gap",
        ])?;
        Ok(Self(csv))
    }

    fn add(&mut self, tenant: Uuid, lines: &[Line]) -> csv::Result<()> {
        for line in lines {
            let (what, total) = match line.what {
                What::Plan => ("plan", String::new()),
                What::Overage => ("overage", line.total.to_string()),
            };
            let found = line.simulated.as_ref().ok();
            let minor = found.map(|found| found.minor);
            let difference = minor.map(|minor| i128::from(minor) - i128::from(line.current_minor));
            let or_empty = |value: Option<String>| value.unwrap_or_default();
            self.0.write_record([
                tenant.to_string(),
                line.plan_id.clone(),
                line.metric.clone(),
                total,
                line.current_minor.to_string(),
                or_empty(minor.map(|minor| minor.to_string())),
                or_empty(difference.map(|difference| difference.to_string())),
                line.currency.clone(),
                what.to_owned(),
                line.period_start.to_string(),
                or_empty(found.map(|found| found.would_be_refused.to_string())),
                or_empty(line.simulated.as_ref().err().map(ToString::to_string)),
            ])?;
        }
        Ok(())
    }

    fn end(self) -> std::io::Result<()> {
        self.0.into_inner().map_err(csv::IntoInnerError::into_error)?.flush()
    }
}
