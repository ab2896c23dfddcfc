//! What must hold whatever is done in whatever order.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::model::{
    BillingMode, CardBehaviour, Metadata, MissingMethod, PhaseItem, Price, Recurring, Schedule, ScheduleStatus, Status,
    Time,
};
use crate::model::{Card, Customer, PaymentMethod, Phase};

/// 2026-01-31 00:00 UTC: a day that most months do not have.
const START: Time = 1_769_817_600;
const DAY: i64 = 86_400;

fn world() -> Work {
    let mut work = Work {
        state: State::new("seed".into(), START),
        now: START,
        base_url: "http://sandbox".into(),
        request: RequestInfo::default(),
        pinned: None,
    };
    let customer = Customer {
        id: "cus_1".into(),
        tax_exempt: "none".into(),
        next_invoice_sequence: 1,
        default_payment_method: Some("pm_good".into()),
        ..Customer::default()
    };
    work.state.customers.put(customer);
    for (id, behaviour) in [("pm_good", CardBehaviour::Pays), ("pm_bad", CardBehaviour::FailsWhenCharged)] {
        let card = Card { behaviour, brand: "visa".into(), last4: "4242".into(), exp_month: 1, exp_year: 2030 };
        work.state.payment_methods.put(PaymentMethod {
            id: id.into(),
            created: START,
            customer: Some("cus_1".into()),
            card,
            set_up: false,
            address: None,
            email: None,
            name: None,
            phone: None,
            metadata: Metadata::new(),
        });
    }
    for (id, cents) in [("price_0", 0), ("price_1", 2900), ("price_2", 9901), ("price_3", 123)] {
        work.state.prices.put(price(id, cents, "month"));
    }
    work.state.prices.put(price("price_4", 29_000, "year"));
    work
}

fn price(id: &str, cents: i64, interval: &str) -> Price {
    Price {
        id: id.into(),
        created: START,
        active: true,
        currency: "usd".into(),
        product: "prod_1".into(),
        nickname: None,
        lookup_key: None,
        metadata: Metadata::new(),
        tax_behavior: "unspecified".into(),
        unit_amount: Some(Decimal::from(cents)),
        tiers: Vec::new(),
        tiers_mode: None,
        transform: None,
        recurring: Some(Recurring { interval: interval.into(), interval_count: 1, meter: None, metered: false }),
    }
}

fn subscription(price: &str, quantity: i64, trial_days: Option<i64>) -> NewSubscription {
    NewSubscription {
        customer: "cus_1".into(),
        items: vec![(price.into(), Some(quantity), Metadata::new())],
        trial_end: trial_days.map(|days| START + days * DAY),
        anchor: None,
        prorate: true,
        metadata: Metadata::new(),
        description: None,
        billing_mode: BillingMode::Flexible,
        missing_payment_method: MissingMethod::CreateInvoice,
        default_payment_method: None,
        behaviour: Behaviour::AllowIncomplete,
        automatic_tax: false,
        sends_bill: false,
        days_until_due: None,
        cancel_at: None,
        cancel_at_period_end: false,
        payment_settings: serde_json::Value::Null,
        confirmed: false,
    }
}

fn change(work: &Work, id: &str, price: usize, quantity: i64, prorate: Prorate) -> Change {
    let item = work.state.subscriptions.get(id).unwrap().items[0].id.clone();
    Change {
        items: vec![ItemChange {
            id: Some(item),
            price: Some(format!("price_{price}")),
            quantity: Some(quantity),
            ..ItemChange::default()
        }],
        prorate,
        proration_date: None,
        behaviour: Behaviour::AllowIncomplete,
        anchor_now: false,
        trial_end: None,
    }
}

/// Everything that was billed or credited, and what is still pending.
fn billed(work: &Work) -> i64 {
    let invoices: i64 = work.state.invoices.iter().map(crate::model::Invoice::total).sum();
    let pending = work.state.invoice_items.iter().filter(|item| item.invoice.is_none());
    invoices + pending.map(|item| item.amount).sum::<i64>()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Changes within a period: what is billed is each price for its time, to one minor unit for each line.
    #[test]
    fn prorations_add_up_to_price_times_time(
        changes in prop::collection::vec((1..200_000_i64, 1..4_usize, 1..6_i64, any::<bool>()), 0..8),
        first in 1..4_usize,
    ) {
        let mut work = world();
        let id = subscribe(&mut work, &subscription(&format!("price_{first}"), 2, None)).unwrap();
        let period = work.subscription(&id).unwrap().period_end() - START;
        let cents = |index: usize| [0, 2900, 9901, 123][index];
        let (mut held, mut since, mut exact) = (cents(first) * 2, START, 0_i64);
        for (pause, index, quantity, at_once) in &changes {
            run_due(&mut work, since + pause);
            exact += held * (work.now - since);
            let prorate = if *at_once { Prorate::AlwaysInvoice } else { Prorate::Create };
            let wanted = change(&work, &id, *index, *quantity, prorate);
            update(&mut work, &id, &wanted, |_| {}).unwrap();
            held = cents(*index) * quantity;
            since = work.now;
        }
        prop_assert!(since < START + period);
        exact += held * (START + period - since);
        let lines = 2 * i64::try_from(changes.len()).unwrap() + 1;
        prop_assert!((billed(&work) * period - exact).abs() <= lines * period, "{} {}", billed(&work), exact / period);
    }

    /// The clock in one step or in many: the same state to the last byte.
    #[test]
    fn one_step_or_many(
        steps in prop::collection::vec(1..40 * DAY, 1..12),
        bad_card in any::<bool>(),
        trial in prop::option::of(1..20_i64),
        scheduled in any::<bool>(),
        ends in any::<bool>(),
    ) {
        let mut work = world();
        let id = subscribe(&mut work, &subscription("price_1", 1, trial)).unwrap();
        if bad_card {
            work.state.subscriptions.edit(&id, |row| row.default_payment_method = Some("pm_bad".into()));
        }
        if ends {
            work.state.subscriptions.edit(&id, |row| row.cancel_at = Some(START + 70 * DAY));
        }
        if scheduled {
            schedule(&mut work, &id);
        }
        let end = START + steps.iter().sum::<i64>();
        let mut at_once = work.clone();
        run_due(&mut at_once, end);
        let mut now = START;
        for step in steps {
            now += step;
            run_due(&mut work, now);
        }
        let shown = |work: &Work| serde_json::to_string(&work.state).unwrap();
        prop_assert_eq!(shown(&work), shown(&at_once));
        let renewed = work.subscription(&id).unwrap();
        prop_assert!(renewed.status.terminal() || renewed.period_end() > work.now);
    }

    /// A preview tells what the change then bills, line by line.
    #[test]
    fn a_preview_is_what_the_change_bills(pause in 1..28 * DAY, to in 1..5_usize, quantity in 1..5_i64) {
        let mut work = world();
        let id = subscribe(&mut work, &subscription("price_1", 3, None)).unwrap();
        run_due(&mut work, START + pause);
        let wanted = change(&work, &id, to, quantity, Prorate::AlwaysInvoice);
        let mut trial = work.clone();
        update(&mut trial, &id, &Change { behaviour: Behaviour::DefaultIncomplete, ..wanted.clone() }, |_| {}).unwrap();
        let told = preview::invoice(&work, &mut trial, &id);
        update(&mut work, &id, &wanted, |_| {}).unwrap();
        let latest = work.subscription(&id).unwrap().latest_invoice.unwrap();
        let billed = work.invoice(&latest).unwrap();
        if billed.billing_reason == "subscription_update" {
            let lines = |invoice: &crate::model::Invoice| -> Vec<(i64, String)> {
                invoice.lines.iter().map(|line| (line.amount, line.description.clone())).collect()
            };
            prop_assert_eq!(lines(&told.unwrap()), lines(&billed));
        }
    }
}

/// After the first period another price for twenty days, then it is let go.
fn schedule(work: &mut Work, id: &str) {
    let subscription = work.subscription(id).unwrap();
    let phase = |start, end, price: &str| Phase {
        start,
        end,
        items: vec![PhaseItem { price: price.into(), quantity: Some(1), metadata: Metadata::new() }],
        currency: "usd".into(),
        proration_behavior: "none".into(),
        metadata: Metadata::new(),
        trial_end: None,
    };
    let first = subscription.period_end();
    let schedule = Schedule {
        id: "sub_sched_1".into(),
        created: START,
        customer: "cus_1".into(),
        subscription: Some(id.into()),
        released_subscription: None,
        status: ScheduleStatus::Active,
        billing_mode: BillingMode::Flexible,
        phases: vec![phase(START, first, "price_1"), phase(first, first + 20 * DAY, "price_2")],
        end_behavior: "release".into(),
        metadata: Metadata::new(),
        canceled_at: None,
        completed_at: None,
        released_at: None,
        begun: 0,
    };
    work.state.schedules.put(schedule);
    work.state.subscriptions.edit(id, |row| row.schedule = Some("sub_sched_1".into()));
}

#[test]
fn the_last_day_of_a_month_comes_back() {
    let mut work = world();
    let id = subscribe(&mut work, &subscription("price_1", 1, None)).unwrap();
    let mut ends = Vec::new();
    for _ in 0..4 {
        let end = work.subscription(&id).unwrap().period_end();
        ends.push(jiff::Timestamp::from_second(end).unwrap().strftime("%m-%d").to_string());
        run_due(&mut work, end);
    }
    assert_eq!(ends, ["02-28", "03-31", "04-30", "05-31"]);
    assert_eq!(work.subscription(&id).unwrap().status, Status::Active);
}
