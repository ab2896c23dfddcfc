//! What people and programs read of a simulation, of a small made-up set of tenants.

use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::summary::Summary;
use super::{Csv, svg};
use crate::usage::simulate::{Gap, Line, Simulated, What};

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn line(what: What, plan: &str, current_minor: i64, simulated: Result<(i64, &str), Gap>) -> Line {
    let is_plan = what == What::Plan;
    Line {
        period_start: "2026-10-03T08:00:00Z".parse().unwrap(),
        what,
        plan_id: plan.to_owned(),
        metric: if is_plan { String::new() } else { "tokens".to_owned() },
        total: quantity(if is_plan { "0" } else { "1500.25" }),
        current_minor,
        currency: "usd".to_owned(),
        simulated: simulated.map(|(minor, refused)| Simulated { minor, would_be_refused: quantity(refused) }),
    }
}

/// Four tenants: one pays more, one less, one would be refused something, one has a plan that is gone.
fn made_up() -> Vec<(Uuid, Vec<Line>)> {
    let gone = || Err(Gap::NoPlan("legacy".to_owned()));
    vec![
        (
            Uuid::from_u128(1),
            vec![line(What::Plan, "pro", 2900, Ok((3900, "0"))), line(What::Overage, "pro", 1250, Ok((1500, "0")))],
        ),
        (
            Uuid::from_u128(2),
            vec![line(What::Plan, "pro", 2900, Ok((3900, "0"))), line(What::Overage, "pro", 41_205, Ok((30_000, "0")))],
        ),
        (Uuid::from_u128(3), vec![line(What::Overage, "free", 14, Ok((0, "450.25")))]),
        (Uuid::from_u128(4), vec![line(What::Plan, "legacy", 900, gone()), line(What::Overage, "legacy", 77, gone())]),
    ]
}

fn summary() -> Summary {
    let mut summary = Summary::new("2026-10".parse().unwrap(), "new & better.toml".to_owned());
    for (tenant, lines) in made_up() {
        summary.add(tenant, &lines).unwrap();
    }
    summary
}

#[test]
fn the_text() {
    insta::assert_snapshot!(summary().text());
}

#[test]
fn the_json() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&summary().json()).unwrap());
}

#[test]
fn the_table() {
    let mut out = Vec::new();
    let mut csv = Csv::new(&mut out).unwrap();
    for (tenant, lines) in made_up() {
        csv.add(tenant, &lines).unwrap();
    }
    csv.end().unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn the_picture() {
    let picture = svg::draw(&summary());
    insta::assert_snapshot!(picture);
    // It stands alone: no script, nothing from elsewhere.
    assert!(!picture.contains("<script") && !picture.contains("href"));
    assert_eq!(picture.matches("http").count(), 1, "more than its own namespace");
    // Also of nothing.
    let empty = svg::draw(&Summary::new("2026-10".parse().unwrap(), "new.toml".to_owned()));
    assert!(empty.contains("Nobody pays another amount."));
}
