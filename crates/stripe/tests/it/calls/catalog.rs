use std::collections::BTreeMap;

use tenantry_stripe::meters::{Aggregation, CustomerMapping, Formula, MeterStatus, ValueSettings};
use tenantry_stripe::prices::{
    BillingScheme, PriceType, RecurringParameters, TierParameters, TiersMode, TransformQuantity, UpTo, UsageType,
};
use tenantry_stripe::shared::{Interval, TaxBehavior};
use tenantry_stripe::{events, meters, prices, products};

use super::{Judge, metadata, range, time};

pub(super) async fn judge(judge: &mut Judge) {
    product(judge).await;
    price(judge).await;
    meter(judge).await;
    event(judge).await;
}

async fn product(judge: &mut Judge) {
    let create = products::Create {
        id: Some("tenantry_pro"),
        name: "Pro",
        active: Some(true),
        description: Some("words"),
        tax_code: Some("txcd_10103001"),
        unit_label: Some("seat"),
        statement_descriptor: Some("ACME"),
        metadata: metadata(),
        expand: vec!["default_price"],
    };
    judge.post(&create, "product").await;
    let update = products::Update {
        id: "prod_1",
        name: Some("Pro"),
        active: Some(false),
        default_price: Some("price_1"),
        description: Some(""),
        tax_code: Some(""),
        unit_label: Some(""),
        statement_descriptor: Some("ACME"),
        metadata: metadata(),
        expand: vec!["default_price"],
    };
    judge.post(&update, "product").await;
    judge.get(&products::Retrieve { id: "prod_1", expand: vec!["default_price"] }, "product").await;
    let list = products::List {
        active: Some(true),
        ids: vec!["prod_1", "prod_2"],
        limit: Some(100),
        starting_after: Some("prod_1"),
        ending_before: Some("prod_2"),
        expand: vec!["data.default_price"],
    };
    judge.get(&list, "product").await;
}

async fn price(judge: &mut Judge) {
    for interval in [Interval::Day, Interval::Week, Interval::Month, Interval::Year] {
        judge.post(&create_price(interval), "price").await;
    }
    let update = prices::Update {
        id: "price_1",
        active: Some(false),
        lookup_key: Some("pro_month_usd"),
        transfer_lookup_key: Some(true),
        nickname: Some("Pro"),
        tax_behavior: Some(TaxBehavior::Inclusive),
        metadata: metadata(),
        expand: vec!["product"],
    };
    judge.post(&update, "price").await;
    judge.get(&prices::Retrieve { id: "price_1", expand: vec!["product", "tiers"] }, "price").await;
    let list = prices::List {
        active: Some(true),
        lookup_keys: vec!["a", "b"],
        product: Some("prod_1"),
        currency: Some("usd"),
        kind: Some(PriceType::Recurring),
        limit: Some(100),
        starting_after: Some("price_1"),
        ending_before: Some("price_2"),
        expand: vec!["data.product", "data.tiers"],
    };
    judge.get(&list, "price").await;
}

fn create_price(interval: Interval) -> prices::Create<'static> {
    let tier = |up_to| TierParameters {
        up_to,
        flat_amount: Some(100),
        flat_amount_decimal: Some("0.5"),
        unit_amount: Some(1),
        unit_amount_decimal: Some("0.000000000001"),
    };
    prices::Create {
        currency: "usd",
        product: Some("prod_1"),
        active: Some(true),
        unit_amount: Some(2900),
        unit_amount_decimal: Some("2900.5"),
        billing_scheme: Some(BillingScheme::Tiered),
        tiers_mode: Some(TiersMode::Graduated),
        tiers: vec![tier(UpTo::Unit(1000)), tier(UpTo::Infinity)],
        transform_quantity: Some(TransformQuantity { divide_by: 1000, round: "up" }),
        recurring: Some(RecurringParameters {
            interval,
            interval_count: Some(1),
            meter: Some("mtr_1"),
            usage_type: Some(UsageType::Metered),
        }),
        lookup_key: Some("pro_month_usd"),
        transfer_lookup_key: Some(true),
        nickname: Some("Pro"),
        tax_behavior: Some(TaxBehavior::Exclusive),
        metadata: metadata(),
        expand: vec!["product"],
    }
}

async fn meter(judge: &mut Judge) {
    for formula in [Formula::Count, Formula::Last, Formula::Sum] {
        let create = meters::Create {
            display_name: "Tokens",
            event_name: "tokens",
            default_aggregation: Aggregation { formula },
            customer_mapping: Some(CustomerMapping { event_payload_key: "stripe_customer_id", kind: "by_id" }),
            value_settings: Some(ValueSettings { event_payload_key: "value" }),
            expand: vec!["x"],
        };
        judge.post(&create, "billing.meter").await;
    }
    let list = meters::List {
        status: Some(MeterStatus::Active),
        limit: Some(100),
        starting_after: Some("mtr_1"),
        ending_before: Some("mtr_2"),
        expand: vec!["data.x"],
    };
    judge.get(&list, "billing.meter").await;
    let event = meters::CreateEvent {
        event_name: "tokens",
        payload: BTreeMap::from([("stripe_customer_id".into(), "cus_1".into()), ("value".into(), "2.5".into())]),
        identifier: Some("t_1:tokens:1"),
        timestamp: Some(time()),
        expand: vec!["x"],
    };
    judge.post(&event, "billing.meter_event").await;
}

async fn event(judge: &mut Judge) {
    judge.get(&events::Retrieve { id: "evt_1", expand: vec!["data.object"] }, "event").await;
    let list = events::List {
        delivery_success: Some(false),
        types: vec!["invoice.paid", "customer.subscription.updated"],
        created: Some(range()),
        limit: Some(100),
        starting_after: Some("evt_1"),
        ending_before: Some("evt_2"),
        expand: vec!["data.data.object"],
    };
    judge.get(&list, "event").await;
}
