//! Every call of the client, with every parameter it has, sent over HTTP and judged by Stripe's document.

mod billing;
mod catalog;
mod customers;
mod invoices;

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_stripe::shared::{
    AddressParameters, AutomaticTaxParameters, BillingModeKind, BillingModeParameters, DiscountParameters, Metadata,
    PeriodParameters, TimeRange,
};
use tenantry_stripe::{CALLS, Client, Delete, Get, Post, Request, Verb};
use tenantry_stripe_spec::{Spec, decode};

use crate::forms::as_texts;
use crate::world::{Told, World, key};

/// Sends requests and judges them.
struct Judge {
    spec: &'static Spec,
    world: World,
    client: Client,
    judged: BTreeSet<String>,
}

impl Judge {
    async fn get<R: Request<Verb = Get>>(&mut self, request: &R, sample: &str) {
        self.prepare(request, sample);
        let answer = self.client.get(request).await;
        self.judge(request, answer.map(drop));
    }

    async fn post<R: Request<Verb = Post>>(&mut self, request: &R, sample: &str) {
        self.prepare(request, sample);
        let answer = self.client.post(request, &key("op_1")).await;
        self.judge(request, answer.map(drop));
    }

    async fn delete<R: Request<Verb = Delete>>(&mut self, request: &R, sample: &str) {
        self.prepare(request, sample);
        let answer = self.client.delete(request).await;
        self.judge(request, answer.map(drop));
    }

    /// The answer will be Stripe's sample, or a list of it.
    fn prepare<R: Request>(&self, request: &R, sample: &str) {
        let name = type_name::<R>();
        assert_filled(name, "", &serde_json::to_value(request).unwrap());
        let sample = self.spec.fixture(sample).unwrap_or_else(|| panic!("{name}: no sample {sample}"));
        let is_list = type_name::<R::Answer>().contains("::List<");
        let list = json!({"object": "list", "url": "/v1/x", "has_more": false, "data": [sample]});
        self.world.tell([Told::json(200, if is_list { &list } else { sample })]);
    }

    fn judge<R: Request>(&mut self, request: &R, answer: Result<(), tenantry_stripe::StripeError>) {
        let name = type_name::<R>();
        let asked = self.world.asked_once();
        assert_eq!(asked.method, R::Verb::METHOD, "{name}");
        let form = if asked.query.is_empty() { &asked.body } else { &asked.query };
        let violations = self.spec.check_request(asked.method.as_str(), &asked.path, form);
        assert_eq!(violations, [], "{name}: {} {}", asked.path, form);
        assert_eq!(decode(form).unwrap(), as_texts(&serde_json::to_value(request).unwrap()), "{name}");
        answer.unwrap_or_else(|error| panic!("{name}: {error}"));
        self.judged.insert(name.split('<').next().unwrap_or(name).to_owned());
    }
}

/// A parameter that is not filled is not judged.
fn assert_filled(name: &str, place: &str, value: &Value) {
    match value {
        Value::Null => panic!("{name}: {place} is not filled"),
        Value::Array(elements) => {
            assert!(!elements.is_empty(), "{name}: {place} is not filled");
            elements
                .iter()
                .enumerate()
                .for_each(|(index, inner)| assert_filled(name, &format!("{place}[{index}]"), inner));
        }
        Value::Object(members) => {
            assert!(!members.is_empty() || place.is_empty(), "{name}: {place} is not filled");
            members.iter().for_each(|(member, inner)| assert_filled(name, &format!("{place}.{member}"), inner));
        }
        _ => {}
    }
}

#[tokio::test]
async fn every_call_is_what_stripes_document_says() {
    let Some(spec) = Spec::or_ignore("every_call_is_what_stripes_document_says") else { return };
    let world = World::new().await;
    let mut judge = Judge { spec, client: world.client(), world, judged: BTreeSet::new() };
    customers::judge(&mut judge).await;
    catalog::judge(&mut judge).await;
    billing::judge(&mut judge).await;
    invoices::judge(&mut judge).await;
    let due: BTreeSet<String> = CALLS.iter().map(|call| call.request.to_owned()).collect();
    assert_eq!(judge.judged, due, "every call is judged here, and every request is made by `request!`");
    assert!(due.len() > 40, "{due:?}");
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn time() -> Timestamp {
    at(1_764_000_000)
}

fn metadata() -> Metadata {
    BTreeMap::from([("tenant_id".to_owned(), "t_1".to_owned()), ("removed".to_owned(), String::new())])
}

fn range() -> TimeRange {
    TimeRange { gt: Some(at(1)), gte: Some(at(2)), lt: Some(at(9)), lte: Some(at(8)) }
}

fn period() -> PeriodParameters {
    PeriodParameters { start: at(1), end: at(2) }
}

fn tax() -> AutomaticTaxParameters {
    AutomaticTaxParameters { enabled: true }
}

fn flexible() -> BillingModeParameters {
    BillingModeParameters { kind: BillingModeKind::Flexible }
}

fn address() -> AddressParameters<'static> {
    AddressParameters {
        city: Some("Berlin"),
        country: Some("DE"),
        line1: Some("Street 1"),
        line2: Some(""),
        postal_code: Some("10115"),
        state: Some("BE"),
    }
}

fn discounts() -> Vec<DiscountParameters<'static>> {
    vec![DiscountParameters { coupon: Some("co_1"), promotion_code: Some("promo_1") }]
}
