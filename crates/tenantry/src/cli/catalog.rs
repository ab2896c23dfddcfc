//! `tenantry catalog`

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use tenantry_domain::money::Money;
use tenantry_domain::plan::{Allowance, Catalog, MetricTerms, Mode, Prices};

use super::output::table;
use super::{Failure, Session};
use crate::billing::catalog_file;
use crate::http::routes::billing::plans::PlanView;
use crate::server::stripe;
use crate::stripe_sync::catalog::{self as at_stripe, Action};

#[derive(Debug, Subcommand)]
pub(super) enum CatalogCommand {
    /// Read the plan catalog and say all that is wrong with it
    Check,
    /// Show the plans of the catalog
    Show,
    /// Bring the plans' products and prices to Stripe; to run it again is safe
    Push {
        /// Only show what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) async fn run(session: &Session, command: &CatalogCommand) -> Result<ExitCode, Failure> {
    let file = &session.config.plans;
    let catalog = catalog_file::read(file)?;
    match command {
        CatalogCommand::Check => {
            let plans = catalog.plans().len();
            let value = json!({ "file": file, "plans": plans, "metrics": catalog.metrics().len() });
            let text = || format!("{}: {plans} plans, {} metrics, all fine", file.display(), catalog.metrics().len());
            session.out.print(&value, text)?;
        }
        CatalogCommand::Show => {
            let plans: Vec<PlanView> = catalog.plans().iter().map(PlanView::from).collect();
            session.out.print(&json!({ "data": plans }), || text(&catalog))?;
        }
        CatalogCommand::Push { dry_run } => pushed(session, &catalog, *dry_run).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn pushed(session: &Session, catalog: &Catalog, is_dry: bool) -> Result<(), Failure> {
    let changes = session
        .on_database(async |opened| {
            let stripe = stripe::for_command(&session.config, &session.env, &opened.db)?;
            let changes = if is_dry {
                at_stripe::differences(&stripe, catalog).await
            } else {
                at_stripe::push(&stripe, catalog).await
            };
            Ok(changes?)
        })
        .await?;
    let value = json!({ "dryRun": is_dry, "changes": changes });
    session.out.print(&value, || {
        if changes.is_empty() {
            return "Stripe has the catalog as it is; nothing to do".to_owned();
        }
        let rows = changes.iter().map(|change| {
            let object = match (&change.metric, change.interval, change.action) {
                (Some(metric), _, Action::MakeMeter) => format!("meter of {metric}"),
                (Some(metric), None, _) => format!("product of {metric}"),
                (Some(metric), Some(interval), _) => format!("overage of {metric} a {interval}"),
                (None, None, _) => "product".to_owned(),
                (None, Some(interval), _) => format!("price a {interval}"),
            };
            [
                change.plan_id.clone(),
                object,
                words(change.action).to_owned(),
                change.id.clone().unwrap_or_default(),
                change.detail.clone(),
            ]
        });
        table(["plan", "what", if is_dry { "would be" } else { "was" }, "id at Stripe", "detail"], rows)
    })
}

/// The table says it of what would be done and of what was done alike.
fn words(action: Action) -> &'static str {
    match action {
        Action::MakeProduct | Action::MakePrice | Action::MakeMeter => "made",
        Action::UpdateProduct => "changed",
        Action::ArchiveProduct => "archived",
        Action::ReplacePrice => "replaced",
        Action::NotePrice => "noted",
        Action::WithdrawPrice => "withdrawn",
    }
}

fn text(catalog: &Catalog) -> String {
    let mut text = String::new();
    for plan in catalog.plans() {
        let mark = if plan.default { " (default)" } else { "" };
        let trial = if plan.trial_days > 0 { format!(", {} days of trial", plan.trial_days) } else { String::new() };
        let prices = plan.prices.as_ref().map_or_else(|| "free".to_owned(), price);
        let seat = if plan.per_seat { " for each member" } else { "" };
        let places = plan.max_members.map(|places| format!(", at most {places} members")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}{mark}: {}, rank {}, {prices}{seat}{trial}{places}", plan.id, plan.name, plan.rank);
        let rows = plan.metrics.iter().map(|(name, terms)| [format!("  {name}"), included(terms), overage(terms)]);
        text.push_str(&table(["  metric", "included", "above it"], rows));
        text.push('\n');
    }
    text
}

fn price(prices: &Prices) -> String {
    let money = |minor, interval| Some(format!("{} a {interval}", Money { minor: minor?, currency: prices.currency }));
    [money(prices.month, "month"), money(prices.year, "year")].into_iter().flatten().collect::<Vec<_>>().join(" or ")
}

fn included(terms: &MetricTerms) -> String {
    match &terms.allowance {
        Allowance::Unlimited => "unlimited".to_owned(),
        Allowance::Included(quantity) => quantity.to_string(),
    }
}

fn overage(terms: &MetricTerms) -> String {
    let Some(overage) = &terms.overage else {
        return if matches!(terms.allowance, Allowance::Unlimited) { String::new() } else { "refused".to_owned() };
    };
    let unit = match (overage.mode, overage.per) {
        (Mode::Package, per) => format!(" per begun {per}"),
        (_, 1) => " each".to_owned(),
        (_, per) => format!(" per {per}"),
    };
    let tiers: Vec<String> = overage
        .tiers
        .iter()
        .map(|tier| match tier.up_to {
            Some(up_to) => format!("{} up to {up_to}", tier.unit_price),
            None if overage.tiers.len() > 1 => format!("{} beyond", tier.unit_price),
            None => tier.unit_price.to_string(),
        })
        .collect();
    format!("{} minor units{unit} ({})", tiers.join(", "), overage.mode.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_a_plan_are_shown() {
        let plan = "[[plans]]\nid = \"free\"\nname = \"Free\"\nrank = 0\ndefault = true\nmax_members = 10\n";
        let catalog = catalog_file::parse(plan, "plans.toml").unwrap();
        assert!(
            text(&catalog).contains("free (default): Free, rank 0, free, at most 10 members"),
            "{}",
            text(&catalog)
        );
    }
}
