//! What is wrong in a catalog file is said all at once, by file, line, plan, key and reason.

use std::fmt::Write as _;

use tenantry::billing::catalog_file::{parse, read};
use tenantry_domain::plan::{Allowance, MetricName, Mode};

/// A catalog that is right, to which cases add what is wrong.
const FREE: &str = "[[plans]]\nid = \"free\"\nname = \"Free\"\nrank = 0\ndefault = true\n";

fn says(text: &str) -> String {
    match parse(text, "plans.toml") {
        Ok(_) => "nothing: it is taken as right".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Each case with what is said of it.
fn report(cases: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (case, file) in cases {
        writeln!(text, "# {case}\n{}\n", says(file)).unwrap();
    }
    text
}

fn plan(rest: &str) -> String {
    format!("{FREE}\n[[plans]]\nid = \"pro\"\nname = \"Pro\"\nrank = 1\n{rest}")
}

fn metric(rest: &str) -> String {
    plan(&format!("prices = {{ currency = \"usd\", month = 2900 }}\n[plans.metrics.tokens]\n{rest}"))
}

#[test]
fn problems_of_plans_are_named() {
    let cases = [
        ("empty file", String::new()),
        ("broken syntax", "[[plans]\nid = \"free\"\n".to_owned()),
        ("a key given twice", format!("{FREE}name = \"Again\"\n")),
        ("unknown keys", plan("colour = \"red\"\n") + "[other]\nx = 1\n"),
        ("a missing name and rank", format!("{FREE}[[plans]]\nid = \"pro\"\n")),
        ("no default", FREE.replace("default = true\n", "")),
        ("two defaults", plan("default = true\n")),
        ("a default that costs", FREE.to_owned() + "prices = { currency = \"usd\", month = 100 }\n"),
        (
            "the same id twice",
            format!("{FREE}\n{}", FREE.replace("default = true\n", "").replace("rank = 0", "rank = 1")),
        ),
        ("the same rank twice", plan("").replace("rank = 1", "rank = 0")),
        ("an id that cannot be one", plan("").replace("\"pro\"", "\"Pro plan!\"")),
        ("a negative rank", plan("").replace("rank = 1", "rank = -1")),
        ("a trial of a free plan", plan("trial_days = 7\n")),
        ("seats of a free plan", plan("per_seat = true\n")),
        ("seats that are no yes or no", plan("per_seat = 5\nprices = { currency = \"usd\", month = 100 }\n")),
        ("no places at all", plan("max_members = 0\n")),
        ("places that are no number", plan("max_members = \"ten\"\n")),
        ("a trial of ten years", plan("trial_days = 3650\nprices = { currency = \"usd\", month = 100 }\n")),
        ("prices of the wrong kind", plan("prices = { currency = \"usd\", month = -5, year = 1.5, week = 3 }\n")),
        ("prices without an amount", plan("prices = { currency = \"usd\" }\n")),
        ("prices without a currency", plan("prices = { month = 100 }\n")),
        ("a currency that is none", plan("prices = { currency = \"usdollar\", month = 100 }\n")),
        ("two currencies", format!("currency = \"eur\"\n{}", plan("prices = { currency = \"usd\", month = 100 }\n"))),
    ];
    insta::assert_snapshot!("plans", report(&cases));
}

#[test]
fn problems_of_metrics_are_named() {
    let cases = [
        ("nothing said of the metric", metric("")),
        ("a name that cannot be one", metric("included = 1\n").replace("metrics.tokens", "metrics.\"To kens\"")),
        ("both included and unlimited", metric("included = 1\nunlimited = true\n")),
        ("unlimited that is not", metric("unlimited = false\n")),
        ("unlimited with overage", metric("unlimited = true\noverage = { unit_price = \"1\" }\n")),
        ("a negative quantity", metric("included = -1\n")),
        ("a float for a quantity", metric("included = 1.5\n")),
        ("too fine a quantity", metric("included = \"0.0000000001\"\n")),
        ("overage of an unknown form", metric("included = 1\noverage = { price = \"1\" }\n")),
        ("a float for a rate", metric("included = 1\noverage = { unit_price = 2.5 }\n")),
        ("a rate that is no decimal", metric("included = 1\noverage = { unit_price = \"1/3\" }\n")),
        ("a rate of 13 decimals", metric("included = 1\noverage = { unit_price = \"0.0000000000001\" }\n")),
        ("a negative rate", metric("included = 1\noverage = { unit_price = \"-1\" }\n")),
        ("per of nothing", metric("included = 1\noverage = { per = 0, unit_price = \"1\" }\n")),
        ("an unknown mode", metric("included = 1\noverage = { mode = \"stairs\", unit_price = \"1\" }\n")),
        (
            "tiers for a flat price",
            metric(
                "included = 1\noverage = { tiers = [ { up_to = 5, unit_price = \"1\" }, { unit_price = \"2\" } ] }\n",
            ),
        ),
        (
            "one rate for a graduated price",
            metric("included = 1\noverage = { mode = \"graduated\", unit_price = \"1\" }\n"),
        ),
        ("no tiers at all", metric("included = 1\noverage = { mode = \"volume\", tiers = [] }\n")),
        (
            "tiers out of order",
            metric(
                "included = 1\noverage = { mode = \"graduated\", tiers = [\n  { up_to = 5, unit_price = \"1\" },\n  \
             { up_to = 5, unit_price = \"2\" },\n  { unit_price = \"3\" },\n] }\n",
            ),
        ),
        (
            "an open tier before others",
            metric(
                "included = 1\noverage = { mode = \"graduated\", tiers = [ { unit_price = \"1\" }, { unit_price = \"2\" } ] }\n",
            ),
        ),
        (
            "a last tier with an end",
            metric("included = 1\noverage = { mode = \"graduated\", tiers = [ { up_to = 5, unit_price = \"1\" } ] }\n"),
        ),
        ("several problems at once", metric("included = -1\noverage = { unit_price = 2.5, per = -1, colour = 1 }\n")),
    ];
    insta::assert_snapshot!("metrics", report(&cases));
}

/// A catalog whose metric `tokens` is defined so.
fn defined(terms: &str, definition: &str) -> String {
    format!("{}[metrics.tokens]\n{definition}", metric(terms))
}

#[test]
fn problems_of_definitions_are_named() {
    let priced = "included = 1\noverage = { unit_price = \"1\" }\n";
    let cases = [
        ("an unknown aggregation", defined(priced, "aggregation = \"average\"\n")),
        ("an aggregation that is no text", defined(priced, "aggregation = 5\n")),
        ("an unknown key", defined(priced, "aggregation = \"max\"\ncolour = 1\n")),
        ("distinct values of nothing", defined(priced, "aggregation = \"unique\"\n")),
        ("a field without a name", defined(priced, "aggregation = \"unique\"\nfield = \"\"\n")),
        ("a field for a sum", defined(priced, "field = \"user\"\n")),
        ("a percentile that does not say which", defined(priced, "aggregation = \"percentile\"\n")),
        ("a percentile above all", defined(priced, "aggregation = \"percentile\"\npercentile = 101\n")),
        (
            "slots that do not divide an hour",
            defined(priced, "aggregation = \"percentile\"\npercentile = 95\nslot_minutes = 7\n"),
        ),
        (
            "a percentile with a hard limit",
            defined("included = 1\n", "aggregation = \"percentile\"\npercentile = 95\n"),
        ),
        ("a metric that no plan names", metric(priced) + "[metrics.token]\naggregation = \"max\"\n"),
        ("a name that no metric has", metric(priced) + "[metrics.Tokens]\ndimensions = [\"model\"]\n"),
        ("no table", metric(priced) + "[metrics]\ntokens = \"max\"\n"),
        ("no table at all", format!("metrics = 5\n{}", metric(priced))),
        ("dimensions that are no list", defined(priced, "dimensions = \"model\"\n")),
        ("a list of something else", defined(priced, "dimensions = [1, \"model\"]\n")),
        ("names that dimensions cannot have", defined(priced, "dimensions = [\"a b\", \"\", \"day\"]\n")),
        ("a dimension twice", defined(priced, "dimensions = [\"model\", \"model\"]\n")),
        ("too many dimensions", defined(priced, "dimensions = [\"a\", \"b\", \"c\", \"d\", \"e\"]\n")),
        ("dimensions of no sum", defined(priced, "aggregation = \"max\"\ndimensions = [\"model\"]\n")),
    ];
    insta::assert_snapshot!("definitions", report(&cases));
}

#[test]
fn dimensions_are_the_catalogs_and_of_no_plan() {
    let with = parse(&defined("included = 1\n", "dimensions = [\"region\", \"model\"]\n"), "plans.toml").unwrap();
    let tokens = &with.dimensions()[&"tokens".parse::<MetricName>().unwrap()];
    assert_eq!(tokens.iter().map(ToString::to_string).collect::<Vec<_>>(), ["model", "region"]);
    let without = parse(&defined("included = 1\n", ""), "plans.toml").unwrap();
    assert!(without.dimensions().is_empty());
    assert_eq!(with.plans(), without.plans(), "no plan has a new version by them");
}

#[test]
fn a_definition_is_kept_with_each_plan() {
    let priced = "included = 1\noverage = { unit_price = \"1\" }\n";
    let aggregation = |definition: &str| {
        let catalog = parse(&defined(priced, definition), "plans.toml").unwrap();
        let stored = serde_json::to_value(&catalog.plan("pro").unwrap().metrics).unwrap();
        stored["tokens"].get("definition").map(|definition| definition["aggregation"].as_str().unwrap().to_owned())
    };
    for (definition, stored) in [
        ("aggregation = \"max\"\n", Some("max")),
        ("aggregation = \"last\"\n", Some("last")),
        ("aggregation = \"peak\"\n", Some("peak")),
        ("aggregation = \"unique\"\nfield = \"endUser\"\n", Some("unique:endUser")),
        ("aggregation = \"percentile\"\npercentile = 95\n", Some("percentile:95:5")),
        ("aggregation = \"percentile\"\npercentile = 90\nslot_minutes = 60\n", Some("percentile:90:60")),
        // What a sum says of itself is what was stored before there was anything else.
        ("aggregation = \"sum\"\n", None),
        ("", None),
    ] {
        assert_eq!(aggregation(definition).as_deref(), stored, "{definition}");
    }
    let unlimited =
        parse(&defined("unlimited = true\n", "aggregation = \"percentile\"\npercentile = 95\n"), "plans.toml");
    assert!(unlimited.is_ok(), "{unlimited:?}");
}

#[test]
fn a_plan_may_say_how_many_members_there_may_be() {
    let catalog = parse(&plan("max_members = 10\n"), "plans.toml").unwrap();
    assert_eq!(catalog.plan("pro").unwrap().max_members, Some(10));
    // What a plan does not say is not in its stored definition, so that versions stay what they are.
    let free = catalog.plan("free").unwrap();
    assert_eq!(free.max_members, None);
    assert!(!serde_json::to_string(free).unwrap().contains("max_members"));
}

#[test]
fn the_catalogs_of_the_repository_are_right() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in ["plans.toml", "demo/plans.toml", "bench/plans.toml"] {
        let catalog = read(&root.join(file)).map_err(|error| error.to_string());
        assert!(catalog.is_ok(), "{catalog:?}");
    }
    let catalog = read(&root.join("plans.toml")).unwrap();
    let tokens = &catalog.plan("pro").unwrap().metrics[&"tokens".parse::<MetricName>().unwrap()];
    let overage = tokens.overage.as_ref().unwrap();
    assert!(matches!(&tokens.allowance, Allowance::Included(quantity) if quantity.to_string() == "1000000"));
    assert_eq!((overage.mode, overage.per, overage.tiers.len()), (Mode::Graduated, 1000, 2));
    assert_eq!(overage.tiers[0].up_to.map(|quantity| quantity.to_string()), Some("5000000".to_owned()));
    assert_eq!(overage.tiers[1].unit_price.to_string(), "0.15");
}

#[test]
fn a_file_that_is_not_there_or_far_too_large_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let missing = read(&dir.path().join("none.toml")).unwrap_err().to_string();
    assert!(missing.contains("none.toml") && missing.contains("--plans"), "{missing}");
    let large = dir.path().join("large.toml");
    std::fs::write(&large, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    let error = read(&large).unwrap_err().to_string();
    assert!(error.contains("1048577 bytes"), "{error}");
    assert_eq!(missing.lines().count() + error.lines().count(), 2);
}
