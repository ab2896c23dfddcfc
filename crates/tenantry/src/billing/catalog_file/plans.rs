//! The plans of a catalog file.

use tenantry_domain::money::Currency;
use tenantry_domain::plan::{Catalog, Plan, PlanId, Prices};

use super::definitions::{self, Definitions};
use super::table::{Field, Problems, Table};
use super::terms;

/// What overage of free plans costs is in this currency, where the file names none.
const FALLBACK_CURRENCY: &str = "usd";
/// Characters of a plan's name.
const MAX_NAME: usize = 100;
/// Days of a trial; Stripe takes no longer ones.
const MAX_TRIAL_DAYS: i64 = 730;

/// A plan and the places in the file that other plans are compared with.
struct Read<'d> {
    id: Option<(PlanId, Field<'d>)>,
    rank: Option<(u32, Field<'d>)>,
    default: Option<Field<'d>>,
    currency: Option<(Currency, Field<'d>)>,
    plan: Option<Plan>,
}

/// The catalog; none where a problem was noted.
pub(super) fn catalog(mut document: Table<'_>, problems: &mut Problems<'_>) -> Option<Catalog> {
    let stated = document.take("currency").and_then(|field| Some((field.parsed::<Currency>(problems)?, field)));
    let plans = document.take("plans");
    let definitions = document.take("metrics");
    document.finish(problems);
    let tables = match &plans {
        Some(field) => field.tables(problems)?,
        None => Vec::new(),
    };
    if tables.is_empty() {
        problems.add(None, "", &"has no plan; write at least one [[plans]] with default = true");
        return None;
    }
    let definitions = definitions.map(|field| definitions::read(&field, problems)).unwrap_or_default();
    let known = stated.as_ref().map(|(currency, _)| *currency);
    let mut read: Vec<Read<'_>> =
        (1..).zip(tables).map(|(number, table)| plan(number, table, (known, &definitions), problems)).collect();
    let currency = one_currency(stated, &read, problems)?;
    compare(&read, problems);
    if problems.count() == 0 {
        definitions::check_named(&definitions, &read.iter().filter_map(|read| read.plan.as_ref()), problems);
    }
    if problems.count() > 0 {
        return None;
    }
    let plans = read.iter_mut().filter_map(|read| read.plan.take()).map(|plan| with_currency(plan, currency));
    let catalog =
        Catalog::new(plans.collect()).and_then(|catalog| catalog.with_dimensions(definitions::dimensions(definitions)));
    catalog.map_err(|error| problems.add(None, "", &error)).ok()
}

/// A plan that sells overage without a price of its own says in which currency.
fn with_currency(mut plan: Plan, currency: Currency) -> Plan {
    let sells = plan.metrics.values().any(|terms| terms.overage.is_some());
    if plan.prices.is_none() && sells {
        plan.currency = Some(currency);
    }
    plan
}

fn plan<'d>(
    number: usize,
    mut table: Table<'d>,
    (stated, definitions): (Option<Currency>, &Definitions<'_>),
    problems: &mut Problems<'_>,
) -> Read<'d> {
    table.rename(format!("plan (number {number})"));
    let id = table
        .require("id", "id = \"pro\"", problems)
        .and_then(|field| Some((field.parsed::<PlanId>(problems)?, field)));
    if let Some((id, _)) = &id {
        table.rename(format!("plan \"{id}\""));
    }
    let name = table.require("name", "name = \"Pro\"", problems).and_then(|field| name(&field, problems));
    let rank = table.require("rank", "rank = 10", problems);
    let rank = rank.and_then(|field| {
        let rank = field.whole(0, i64::from(i32::MAX), problems)?;
        Some((u32::try_from(rank).ok()?, field))
    });
    let default = table.take("default").filter(|field| field.boolean(problems) == Some(true));
    let trial = table.take("trial_days");
    let trial_days = trial.as_ref().map_or(Some(0), |field| field.whole(0, MAX_TRIAL_DAYS, problems));
    let seats = table.take("per_seat");
    let per_seat = seats.as_ref().map_or(Some(false), |field| field.boolean(problems));
    let places = table.take("max_members");
    let max_members = places.as_ref().map_or(Some(None), |field| {
        let places = field.whole(1, i64::from(i32::MAX), problems)?;
        u32::try_from(places).ok().map(Some)
    });
    let prices_field = table.take("prices");
    let prices = prices_field.as_ref().map(|field| {
        let table = field.table(problems)?;
        prices(table, stated, problems)
    });
    let metrics = table.take("metrics").and_then(|field| field.table(problems));
    let metrics = metrics.map(|table| terms::metrics(table, definitions, problems)).unwrap_or_default();
    table.finish(problems);

    if let (Some(field), Some(1..), None) = (&trial, trial_days, &prices) {
        field.wrong("a free plan has no trial; give it prices or take trial_days out", problems);
    }
    if let (Some(field), Some(true), None) = (&seats, per_seat, &prices) {
        field.wrong("a free plan has no price for a seat; give it prices or take per_seat out", problems);
    }
    if let (Some(default), Some(_)) = (&default, &prices) {
        default.wrong("the default plan is what new tenants get without paying; take its prices out", problems);
    }
    let (prices, currency) = match prices {
        Some(Some((prices, field))) => (Some(Some(prices)), field.map(|field| (prices.currency, field))),
        Some(None) => (None, None),
        None => (Some(None), None),
    };
    let plan = (|| {
        Some(Plan {
            id: id.as_ref()?.0.clone(),
            name: name?,
            rank: rank.as_ref()?.0,
            default: default.is_some(),
            trial_days: u32::try_from(trial_days?).ok()?,
            per_seat: per_seat?,
            max_members: max_members?,
            currency: None,
            prices: prices?,
            metrics,
        })
    })();
    Read { id, rank, default, currency, plan }
}

fn name(field: &Field<'_>, problems: &mut Problems<'_>) -> Option<String> {
    let text = field.text(problems)?;
    let length = text.chars().count();
    if text.trim().is_empty() || length > MAX_NAME || text.chars().any(char::is_control) {
        field.wrong(format_args!("must be 1 to {MAX_NAME} printable characters"), problems);
        return None;
    }
    Some(text.to_owned())
}

/// Prices, and where their currency stands if not at the top of the file.
fn prices<'d>(
    mut table: Table<'d>,
    stated: Option<Currency>,
    problems: &mut Problems<'_>,
) -> Option<(Prices, Option<Field<'d>>)> {
    let (place, at) = (table.place.clone(), table.at);
    let (own, currency) = match (stated, table.take("currency")) {
        (_, Some(field)) => (field.parsed::<Currency>(problems), Some(field)),
        (Some(stated), None) => (Some(stated), None),
        (None, None) => {
            problems.add(Some(at), &format!("{place}.currency"), &"is missing; write for instance currency = \"usd\"");
            (None, None)
        }
    };
    let amount = |field: Option<Field<'_>>, problems: &mut Problems<'_>| match field {
        Some(field) => field.whole(1, i64::MAX, problems).map(Some),
        None => Some(None),
    };
    let (month, year) = (table.take("month"), table.take("year"));
    if month.is_none() && year.is_none() {
        problems.add(
            Some(at),
            &place,
            &"needs month = 2900 or year = 29000, in minor units; a free plan has no prices",
        );
    }
    let (month, year) = (amount(month, problems), amount(year, problems));
    table.finish(problems);
    Some((Prices { currency: own?, month: month?, year: year? }, currency))
}

/// The one currency of the file. All plans charge in it, else a period under two of them could not be summed.
fn one_currency(
    stated: Option<(Currency, Field<'_>)>,
    read: &[Read<'_>],
    problems: &mut Problems<'_>,
) -> Option<Currency> {
    let mut all = stated.into_iter().chain(read.iter().filter_map(|read| read.currency.clone()));
    let Some((first, place)) = all.next() else {
        return FALLBACK_CURRENCY.parse().ok();
    };
    let line = problems.line(place.at);
    for (currency, field) in all.filter(|(currency, _)| *currency != first) {
        let reason = format!("{currency} here, {first} in line {line}: all plans of a catalog charge in one currency");
        field.wrong(reason, problems);
    }
    Some(first)
}

/// What only shows between plans.
fn compare(read: &[Read<'_>], problems: &mut Problems<'_>) {
    for (position, plan) in read.iter().enumerate() {
        let earlier = &read[..position];
        if let Some((id, field)) = &plan.id
            && let Some((_, first)) =
                earlier.iter().filter_map(|other| other.id.as_ref()).find(|(other, _)| other == id)
        {
            let line = problems.line(first.at);
            field.wrong(format_args!("the plan in line {line} has this id already"), problems);
        }
        if let Some((rank, field)) = &plan.rank
            && let Some((_, first)) =
                earlier.iter().filter_map(|other| other.rank.as_ref()).find(|(other, _)| other == rank)
        {
            let line = problems.line(first.at);
            field.wrong(format_args!("line {line} has rank {rank} already; which plan is the upgrade?"), problems);
        }
        if let Some(field) = &plan.default
            && let Some(first) = earlier.iter().find_map(|other| other.default.as_ref())
        {
            let line = problems.line(first.at);
            field.wrong(format_args!("line {line} has the default plan already; there is one"), problems);
        }
    }
    if read.iter().all(|plan| plan.default.is_none()) {
        problems.add(None, "", &"no plan has default = true; mark the free one that new tenants get");
    }
}
