//! A notice of every kind.

use jiff::Timestamp;
use tenantry::notices::data::{
    AccessChanged, CancellationScheduled, Data, LimitRefused, LimitThreshold, OverageCarried, PaymentFailed,
    PaymentSucceeded, PlanChanged, PlanName, Span, SubscriptionCanceled, TaxLocationMissing, Test, TrialEnding,
    UsageSpendAlert, UsageSpendCapped, WebhookEndpointDisabled,
};
use tenantry_domain::money::Money;
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn month() -> Span {
    Span { start: at("2026-03-15T12:00:00Z"), end: at("2026-04-15T12:00:00Z") }
}

fn plan(id: &str, name: &str) -> PlanName {
    PlanName { id: id.to_owned(), name: name.to_owned() }
}

fn money(minor: i64, currency: &str) -> Money {
    Money { minor, currency: currency.parse().unwrap() }
}

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

pub(super) fn payment_failed() -> Data {
    PaymentFailed {
        amount: money(2900, "usd"),
        period: month(),
        invoice_number: Some("ACME-0001".to_owned()),
        invoice_url: Some("https://pay.example.com/invoice?id=1&token=a".to_owned()),
        next_attempt_at: Some(at("2026-03-18T12:00:00Z")),
        access_until: Some(at("2026-03-22T12:00:00Z")),
    }
    .into()
}

pub(super) fn limit_threshold(percent: u8, allow_overages: bool) -> Data {
    LimitThreshold {
        metric: "api_calls".to_owned(),
        percent,
        total: quantity("80.5"),
        limit: quantity("100"),
        allow_overages,
        period: month(),
    }
    .into()
}

fn spend_alert(metric: Option<&str>) -> Data {
    UsageSpendAlert {
        alert_id: Uuid::from_u128(2),
        metric: metric.map(str::to_owned),
        amount: money(5000, "usd"),
        accrued: money(5025, "usd"),
        period: month(),
    }
    .into()
}

fn spend_capped(metric: Option<&str>) -> Data {
    UsageSpendCapped {
        metric: metric.map(str::to_owned),
        cap: money(10_000, "usd"),
        accrued: money(9_990, "usd"),
        period: month(),
    }
    .into()
}

/// One of every kind, more where a kind has several things to say.
pub(super) fn all() -> Vec<Data> {
    let (free, pro) = (plan("free", "Free"), plan("pro", "Pro"));
    let access = |limits: &PlanName| AccessChanged {
        status: "past_due".to_owned(),
        plan: plan("pro", "Pro"),
        limits: limits.clone(),
        since: at("2026-03-22T12:00:00Z"),
    };
    vec![
        PaymentSucceeded {
            amount: money(1200, "jpy"),
            period: month(),
            invoice_number: None,
            invoice_url: Some("javascript:alert(1)".to_owned()),
        }
        .into(),
        payment_failed(),
        TrialEnding { plan: pro.clone(), trial_end: at("2026-03-18T00:00:00Z"), amount: Some(money(2900, "eur")) }
            .into(),
        TrialEnding { plan: pro.clone(), trial_end: at("2026-03-18T00:00:00Z"), amount: None }.into(),
        PlanChanged {
            from: free.clone(),
            to: pro.clone(),
            effective_at: at("2026-03-15T12:00:00Z"),
            charged: Some(money(1_234_567, "kwd")),
            period: Some(month()),
        }
        .into(),
        SubscriptionCanceled { plan: pro.clone(), now_on: free.clone(), ended_at: at("2026-04-15T12:00:00Z") }.into(),
        CancellationScheduled { plan: pro.clone(), ends_at: at("2026-04-15T12:00:00Z") }.into(),
        access(&free).into(),
        access(&pro).into(),
        limit_threshold(80, false),
        limit_threshold(100, false),
        limit_threshold(80, true),
        limit_threshold(100, true),
        LimitRefused { metric: "api_calls".to_owned(), total: quantity("99"), limit: quantity("100"), period: month() }
            .into(),
        spend_alert(None),
        spend_alert(Some("api_calls")),
        spend_capped(None),
        spend_capped(Some("api_calls")),
        OverageCarried { amount: money(450, "usd"), period: month() }.into(),
        TaxLocationMissing {
            amount: money(2900, "usd"),
            period: month(),
            invoice_number: Some("ACME-0002".to_owned()),
        }
        .into(),
        WebhookEndpointDisabled {
            endpoint_id: Uuid::from_u128(1),
            url: "https://hooks.example.com/in".to_owned(),
            is_gone: false,
            failing_since: at("2026-03-10T12:00:00Z"),
        }
        .into(),
        Test { endpoint_id: Uuid::from_u128(1) }.into(),
    ]
}
