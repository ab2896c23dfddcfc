use proptest::prelude::*;
use serde_json::{Value, json};
use tenantry_domain::metric::MetricDefinition;
use tenantry_domain::plan::{
    Allowance, Catalog, CatalogError, MetricName, MetricTerms, Mode, OverageTerms, Plan, PlanId, Tier,
};

use crate::quantity;

fn plan_json(id: &str, rank: u32, default: bool) -> Value {
    json!({"id": id, "name": id, "rank": rank, "default": default})
}

fn plan(json: Value) -> Plan {
    serde_json::from_value(json).unwrap()
}

fn terms_error(json: &Value) -> String {
    serde_json::from_value::<MetricTerms>(json.clone()).unwrap_err().to_string()
}

#[test]
fn names_are_lower_case_and_short() {
    for good in ["a", "api_calls", "x1", &"a".repeat(64)] {
        assert_eq!(good.parse::<MetricName>().unwrap().as_str(), good);
    }
    for bad in ["", "1a", "_a", "Api", "a-b", "a b", "ä", "a\n", &"a".repeat(65)] {
        assert!(bad.parse::<MetricName>().is_err(), "{bad:?}");
        assert!(serde_json::from_value::<MetricName>(json!(bad)).is_err(), "{bad:?}");
    }
    assert!("team-2024".parse::<PlanId>().is_ok());
    assert!("Team".parse::<PlanId>().is_err());
}

#[test]
fn the_hard_limit_is_what_is_included_where_nothing_is_sold_above() {
    let overage = json!({"mode": "flat", "per": 1, "tiers": [{"unit_price": "2.5"}]});
    let limit = |json: Value| serde_json::from_value::<MetricTerms>(json).unwrap().hard_limit();
    assert_eq!(limit(json!({"allowance": {"included": "100"}})), Some(quantity("100")));
    assert_eq!(limit(json!({"allowance": {"included": "0"}})), Some(quantity("0")));
    assert_eq!(limit(json!({"allowance": {"included": "100"}, "overage": overage})), None);
    assert_eq!(limit(json!({"allowance": "unlimited"})), None);
}

#[test]
fn terms_that_contradict_themselves_are_not_read() {
    let overage = |mode: &str, tiers: Value| json!({"allowance": {"included": "1"}, "overage": {"mode": mode, "per": 1, "tiers": tiers}});
    let (open, ten) = (json!({"unit_price": "1"}), json!({"up_to": "10", "unit_price": "1"}));
    for (json, why) in [
        (json!({"allowance": {"included": "-1"}}), "negative"),
        (json!({"allowance": "unlimited", "overage": {"mode": "flat", "per": 1, "tiers": [open]}}), "unlimited"),
        (json!({"allowance": {"included": "1"}, "overage": {"mode": "flat", "per": 0, "tiers": [open]}}), "per"),
        (overage("graduated", json!([])), "empty"),
        (overage("flat", json!([ten, open])), "one rate"),
        (overage("package", json!([ten, open])), "one rate"),
        (overage("graduated", json!([open, open])), "tier 1 needs up_to"),
        (overage("volume", json!([ten])), "tier 1 is the last"),
        (overage("graduated", json!([ten, ten, open])), "tier 2 must end above"),
        (overage("graduated", json!([{"up_to": "0", "unit_price": "1"}, open])), "tier 1 must end above"),
        (overage("stairs", json!([open])), "stairs"),
        (overage("flat", json!([{"unit_price": 2.5}])), "string"),
        (overage("flat", json!([{"unit_price": "-2"}])), "negative"),
        (overage("flat", json!([{"unit_price": "2", "flat_fee": "1"}])), "flat_fee"),
        (json!({"allowance": {"included": "1"}, "limit": 2}), "limit"),
    ] {
        let error = terms_error(&json);
        assert!(error.contains(why), "{json}: {error}");
    }
}

#[test]
fn unknown_keys_of_a_plan_are_refused() {
    let mut json = plan_json("free", 0, true);
    json["colour"] = json!("red");
    assert!(serde_json::from_value::<Plan>(json).unwrap_err().to_string().contains("colour"));
}

#[test]
fn a_catalog_has_one_default_and_distinct_ids_and_ranks() {
    let free = || plan(plan_json("free", 0, true));
    let catalog = |plans: Vec<Plan>| Catalog::new(plans).map(|_| ());
    assert_eq!(catalog(vec![]), Err(CatalogError::Defaults(0)));
    assert_eq!(catalog(vec![plan(plan_json("pro", 1, false))]), Err(CatalogError::Defaults(0)));
    assert_eq!(catalog(vec![free(), plan(plan_json("pro", 1, true))]), Err(CatalogError::Defaults(2)));
    assert_eq!(catalog(vec![free(), plan(plan_json("free", 1, false))]), Err(CatalogError::DuplicateId("free".into())));
    assert_eq!(catalog(vec![free(), plan(plan_json("pro", 0, false))]), Err(CatalogError::DuplicateRank(0)));
    assert_eq!(catalog(vec![free()]), Ok(()));
}

#[test]
fn a_catalog_charges_in_one_currency() {
    let paid = |id: &str, rank: u32, currency: &str| {
        let mut json = plan_json(id, rank, false);
        json["prices"] = json!({"currency": currency, "month": 100});
        plan(json)
    };
    let mut free = plan_json("free", 0, true);
    free["currency"] = json!("usd");
    let free = plan(free);
    let mixed = Catalog::new(vec![free.clone(), paid("pro", 1, "eur")]).unwrap_err();
    assert!(mixed.to_string().contains("usd") && mixed.to_string().contains("eur"), "{mixed}");
    assert!(Catalog::new(vec![plan(plan_json("free", 0, true)), paid("a", 1, "usd"), paid("b", 2, "jpy")]).is_err());
    let catalog = Catalog::new(vec![free, paid("pro", 1, "usd")]).unwrap();
    assert_eq!(catalog.currency().unwrap().to_string(), "usd");
}

#[test]
fn a_metric_is_declared_when_any_plan_names_it() {
    let mut pro = plan_json("pro", 20, false);
    pro["metrics"] = json!({"api_calls": {"allowance": "unlimited"}});
    let catalog = Catalog::new(vec![plan(pro), plan(plan_json("free", 0, true))]).unwrap();
    assert!(catalog.declares_metric("api_calls"));
    assert!(!catalog.declares_metric("api_call"));
    assert_eq!(catalog.default_plan().id.as_str(), "free");
    assert_eq!(catalog.plan("pro").unwrap().rank, 20);
    assert!(catalog.plan("Pro").is_none());
    assert_eq!(catalog.plans().iter().map(|plan| plan.id.as_str()).collect::<Vec<_>>(), ["free", "pro"]);
    assert_eq!(catalog.metrics().into_iter().map(MetricName::as_str).collect::<Vec<_>>(), ["api_calls"]);
}

fn overage_terms() -> impl Strategy<Value = OverageTerms> {
    let rates = prop::collection::vec((1..1000_u32, 0..100_000_u32), 1..5);
    (rates, 1..5000_u64, prop::sample::select(vec![Mode::Flat, Mode::Graduated, Mode::Volume, Mode::Package])).prop_map(
        |(steps, per, mode)| {
            let steps = if matches!(mode, Mode::Flat | Mode::Package) { &steps[..1] } else { &steps[..] };
            let mut end = 0;
            let tiers = steps.iter().enumerate().map(|(position, (width, rate))| {
                end += width;
                let up_to = (position + 1 < steps.len()).then(|| quantity(&end.to_string()));
                Tier { up_to, unit_price: format!("{}.{:03}", rate / 1000, rate % 1000).parse().unwrap() }
            });
            OverageTerms { mode, per, tiers: tiers.collect() }
        },
    )
}

fn terms(allowance: Allowance, overage: Option<OverageTerms>) -> MetricTerms {
    MetricTerms { allowance, overage, definition: MetricDefinition::default() }
}

proptest! {
    #[test]
    fn a_stored_plan_is_read_back_equal(
        overage in prop::option::of(overage_terms()), included in 0..1_000_000_u32,
        trial_days in 0..30_u32, per_seat: bool, month in prop::option::of(0..100_000_i64),
    ) {
        let mut plan = plan(plan_json("pro", 7, false));
        plan.trial_days = trial_days;
        plan.per_seat = per_seat;
        plan.prices = month.map(|month| serde_json::from_value(json!({"currency": "jpy", "month": month})).unwrap());
        let allowance = Allowance::Included(quantity(&format!("{included}.5")));
        plan.metrics.insert("tokens".parse().unwrap(), terms(allowance, overage));
        plan.metrics.insert("bytes".parse().unwrap(), terms(Allowance::Unlimited, None));
        let stored = serde_json::to_value(&plan).unwrap();
        // What was stored before there were seats says nothing of them, and must stay the same definition.
        prop_assert_eq!(stored.get("per_seat").is_some(), per_seat);
        prop_assert_eq!(serde_json::from_value::<Plan>(stored).unwrap(), plan.clone());
        prop_assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    }
}

#[test]
fn terms_of_before_say_nothing_of_a_definition_and_are_sums() {
    let stored = json!({"allowance": {"included": "5"}});
    let read: MetricTerms = serde_json::from_value(stored.clone()).unwrap();
    assert!(read.definition.aggregation.is_sum());
    assert_eq!(serde_json::to_value(&read).unwrap(), stored);
    let stored = json!({"allowance": {"included": "5"}, "definition": {"aggregation": "unique:endUser"}});
    let read: MetricTerms = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), stored);
}

#[test]
fn a_percentile_has_no_hard_limit() {
    let mut terms = json!({"allowance": {"included": "5"}, "definition": {"aggregation": "percentile:95:5"}});
    assert!(terms_error(&terms).starts_with("a percentile has no hard limit"), "{}", terms_error(&terms));
    terms["overage"] = json!({"mode": "flat", "per": 1, "tiers": [{"unit_price": "1"}]});
    serde_json::from_value::<MetricTerms>(terms).unwrap();
    let unlimited = json!({"allowance": "unlimited", "definition": {"aggregation": "percentile:95:5"}});
    serde_json::from_value::<MetricTerms>(unlimited).unwrap();
}

#[test]
fn all_plans_of_a_catalog_define_a_metric_alike() {
    let with = |id: &str, rank: u32, aggregation: &str| {
        let mut json = plan_json(id, rank, rank == 0);
        let terms = json!({"allowance": "unlimited", "definition": {"aggregation": aggregation}});
        json["metrics"] = json!({ "seats": terms });
        plan(json)
    };
    Catalog::new(vec![with("free", 0, "max"), with("pro", 1, "max")]).unwrap();
    let error = Catalog::new(vec![with("free", 0, "max"), with("pro", 1, "last")]).unwrap_err();
    assert_eq!(error, CatalogError::TwoDefinitions("seats".to_owned()));
}
