//! What the plans of the tests limit and charge, in integers and by hand: knows nothing of the product's arithmetic.

/// Billionths of a unit.
pub(super) type Nanos = i128;

const UNIT: Nanos = 1_000_000_000;

/// Billionths, from the digits of a decimal.
pub(super) fn nanos(text: &str) -> Nanos {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    whole.parse::<Nanos>().unwrap() * UNIT + sign * format!("{rest:0<9}").parse::<Nanos>().unwrap()
}

/// A decimal without needless zeros.
pub(super) fn show(value: Nanos) -> String {
    let (sign, value) = if value < 0 { ("-", -value) } else { ("", value) };
    let text = format!("{sign}{}.{:09}", value / UNIT, value % UNIT);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Whether the plan names the metric, and the limit; see `world::catalog`.
pub(super) fn limit(plan: &str, metric: &str) -> (bool, Option<Nanos>) {
    match (plan, metric) {
        ("free", "calls") => (true, Some(100 * UNIT)),
        ("pro", "calls") => (true, Some(300 * UNIT)),
        ("pro", "exports") => (true, Some(20 * UNIT)),
        (_, "tokens" | "bytes") => (true, None),
        _ => (false, Some(0)),
    }
}

/// Hundredths of a cent for the units from nothing to this total, in billionths.
fn cost(plan: &str, metric: &str, total: Nanos) -> i128 {
    // (from, hundredths of a cent a unit): each price holds until the next begins.
    let steps: &[(Nanos, i128)] = match (plan, metric) {
        ("free", "tokens") => &[(50 * UNIT, 30), (90 * UNIT, 15)],
        ("pro", "tokens") => &[(80 * UNIT, 225)],
        _ => &[],
    };
    let ends = steps.iter().skip(1).map(|step| step.0).chain([Nanos::MAX]);
    steps.iter().zip(ends).map(|((from, price), end)| (total.min(end) - from).max(0) * price).sum()
}

/// Cents for what was used under one plan after the other, half to even.
pub(super) fn due(metric: &str, uses: &[(String, Nanos)]) -> i64 {
    let (mut total, mut exact) = (0, 0);
    for (plan, used) in uses {
        exact += cost(plan, metric, total + used) - cost(plan, metric, total);
        total += used;
    }
    let (exact, cent) = (exact.max(0), 100 * UNIT);
    // The nearest of the neighbours, the even one of two that are equally near.
    let near = exact / cent;
    let best = (near..=near + 1).min_by_key(|cents| ((exact - cents * cent).abs(), cents % 2)).unwrap();
    i64::try_from(best).unwrap()
}

#[test]
fn the_model_prices_as_a_person_would() {
    let due = |uses: &[(&str, &str)]| {
        due("tokens", &uses.iter().map(|(plan, used)| ((*plan).to_owned(), nanos(used))).collect::<Vec<_>>())
    };
    assert_eq!(due(&[("free", "100")]), 14);
    assert_eq!(due(&[("free", "70"), ("pro", "41")]), 76);
    assert_eq!(due(&[("pro", "80.222222222"), ("free", "-0.222222222")]), 0);
    assert_eq!(
        (nanos("-1.5"), show(nanos("12.250")), show(-1)),
        (-1_500_000_000, "12.25".into(), "-0.000000001".into())
    );
}
