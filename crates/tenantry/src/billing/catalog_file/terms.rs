//! What a plan says of a metric.

use std::collections::BTreeMap;

use tenantry_domain::metric::MetricDefinition;
use tenantry_domain::plan::{Allowance, MetricName, MetricTerms, Mode, OverageTerms, TermsError, Tier};

use super::definitions::Definitions;
use super::table::{Field, Problems, Table};

/// Units that one rate may buy at most.
const MAX_PER: i64 = 1_000_000_000_000;

/// The metrics of a plan; those that are wrong are left out and noted.
pub(super) fn metrics(
    table: Table<'_>,
    definitions: &Definitions<'_>,
    problems: &mut Problems<'_>,
) -> BTreeMap<MetricName, MetricTerms> {
    let mut metrics = BTreeMap::new();
    for (name, field) in table.into_fields() {
        let name = name.parse::<MetricName>().map_err(|error| field.wrong(error, problems)).ok();
        let terms = field.table(problems).and_then(|table| metric(table, problems));
        if let (Some(name), Some(mut terms)) = (name, terms) {
            if let Some(defined) = definitions.get(&name) {
                terms.definition = defined.definition.clone();
            }
            if let Err(error) = terms.check() {
                field.wrong(error, problems);
            }
            metrics.insert(name, terms);
        }
    }
    metrics
}

fn metric(mut table: Table<'_>, problems: &mut Problems<'_>) -> Option<MetricTerms> {
    let (place, at) = (table.place.clone(), table.at);
    let (included, unlimited, overage) = (table.take("included"), table.take("unlimited"), table.take("overage"));
    table.finish(problems);
    let terms = overage.as_ref().map(|field| field.table(problems).and_then(|table| overage_terms(table, problems)));
    let allowance = match (included, unlimited) {
        (Some(_), Some(unlimited)) => {
            unlimited.wrong("stands beside included; keep one of them", problems);
            None
        }
        (Some(included), None) => included.quantity(problems).map(Allowance::Included),
        (None, Some(unlimited)) => always(&unlimited, overage.as_ref(), problems),
        (None, None) => {
            problems.add(Some(at), &place, &"needs included = 1000 (a quantity) or unlimited = true");
            None
        }
    };
    let definition = MetricDefinition::default();
    match terms {
        Some(terms) => Some(MetricTerms { allowance: allowance?, overage: Some(terms?), definition }),
        None => Some(MetricTerms { allowance: allowance?, overage: None, definition }),
    }
}

fn always(unlimited: &Field<'_>, overage: Option<&Field<'_>>, problems: &mut Problems<'_>) -> Option<Allowance> {
    if !unlimited.boolean(problems)? {
        unlimited.wrong("can only be true; where it is not, write included", problems);
        return None;
    }
    if let Some(overage) = overage {
        overage.wrong(TermsError::UnlimitedWithOverage, problems);
        return None;
    }
    Some(Allowance::Unlimited)
}

fn overage_terms(mut table: Table<'_>, problems: &mut Problems<'_>) -> Option<OverageTerms> {
    let (place, at) = (table.place.clone(), table.at);
    let mode = table.take("mode").map_or(Some(Mode::Flat), |field| mode(&field, problems));
    let per = table.take("per").map_or(Some(1), |field| field.whole(1, MAX_PER, problems));
    let (unit_price, tiers) = (table.take("unit_price"), table.take("tiers"));
    table.finish(problems);
    let before = problems.count();
    let (tiers, lines) = match (unit_price, tiers) {
        (Some(_), Some(tiers)) => {
            tiers.wrong("stands beside unit_price; keep one of them", problems);
            return None;
        }
        (Some(field), None) => {
            if let Some(mode @ (Mode::Graduated | Mode::Volume)) = mode {
                field.wrong(format_args!("mode {} needs tiers instead", mode.as_str()), problems);
            }
            (field.rate(problems).map(|unit_price| vec![Tier { up_to: None, unit_price }])?, vec![field.at])
        }
        (None, Some(field)) => {
            let tables = field.tables(problems)?;
            let lines: Vec<usize> = tables.iter().map(|table| table.at).collect();
            let tiers: Vec<Option<Tier>> = tables.into_iter().map(|table| tier(table, problems)).collect();
            (tiers.into_iter().collect::<Option<Vec<_>>>()?, lines)
        }
        (None, None) => {
            problems.add(Some(at), &place, &"needs unit_price = \"2.5\" (minor units of the currency) or tiers");
            return None;
        }
    };
    let terms = OverageTerms { mode: mode?, per: u64::try_from(per?).ok()?, tiers };
    if problems.count() == before {
        for error in terms.problems() {
            let tier = match error {
                TermsError::Unbounded(tier) | TermsError::LastBounded(tier) | TermsError::OutOfOrder(tier) => {
                    Some(tier)
                }
                _ => None,
            };
            let line = tier.and_then(|tier| lines.get(tier - 1)).copied().unwrap_or(at);
            problems.add(Some(line), &format!("{place}.tiers"), &error);
        }
    }
    (problems.count() == before).then_some(terms)
}

fn mode(field: &Field<'_>, problems: &mut Problems<'_>) -> Option<Mode> {
    let text = field.text(problems)?;
    let found =
        [Mode::Flat, Mode::Graduated, Mode::Volume, Mode::Package].into_iter().find(|mode| mode.as_str() == text);
    if found.is_none() {
        field.wrong(format_args!("{text:?} is none of flat, graduated, volume, package"), problems);
    }
    found
}

fn tier(mut table: Table<'_>, problems: &mut Problems<'_>) -> Option<Tier> {
    let up_to = table.take("up_to").map(|field| field.quantity(problems));
    let unit_price =
        table.require("unit_price", "unit_price = \"0.2\"", problems).and_then(|field| field.rate(problems));
    table.finish(problems);
    let up_to = match up_to {
        Some(quantity) => Some(quantity?),
        None => None,
    };
    Some(Tier { up_to, unit_price: unit_price? })
}
