//! Products, prices, meters.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Value, json};

use crate::engine::{Work, unit_decimal};
use crate::model::{Meter, MeterEvent, Price, Product, Tier, TiersMode};

/// Whole minor units, or null for a price with a fraction of them.
fn whole(amount: Option<Decimal>) -> Option<i64> {
    amount.filter(|amount| amount.fract().is_zero()).and_then(|amount| amount.to_i64())
}

#[expect(clippy::unused_self, reason = "every object is shown in the same way, by the work")]
impl Work {
    pub(crate) fn product_json(&self, product: &Product) -> Value {
        json!({
            "id": product.id,
            "object": "product",
            "active": product.active,
            "created": product.created,
            "default_price": product.default_price,
            "description": product.description,
            "images": product.images,
            "livemode": false,
            "marketing_features": [],
            "metadata": product.metadata,
            "name": product.name,
            "package_dimensions": null,
            "shippable": null,
            "statement_descriptor": product.statement_descriptor,
            "tax_code": product.tax_code,
            "type": "service",
            "unit_label": product.unit_label,
            "updated": product.updated,
            "url": product.url,
        })
    }

    pub(crate) fn price_json(&self, price: &Price) -> Value {
        let mode = price.tiers_mode.map(|mode| if mode == TiersMode::Volume { "volume" } else { "graduated" });
        let recurring = price.recurring.as_ref().map(|recurring| {
            json!({
                "interval": recurring.interval,
                "interval_count": recurring.interval_count,
                "meter": recurring.meter,
                "trial_period_days": null,
                "usage_type": if recurring.metered { "metered" } else { "licensed" },
            })
        });
        let transform = price.transform.map(|transform| {
            json!({ "divide_by": transform.divide_by, "round": if transform.rounds_up { "up" } else { "down" } })
        });
        json!({
            "id": price.id,
            "object": "price",
            "active": price.active,
            "billing_scheme": if price.tiers_mode.is_some() { "tiered" } else { "per_unit" },
            "created": price.created,
            "currency": price.currency,
            "custom_unit_amount": null,
            "livemode": false,
            "lookup_key": price.lookup_key,
            "metadata": price.metadata,
            "nickname": price.nickname,
            "product": price.product,
            "recurring": recurring,
            "tax_behavior": price.tax_behavior,
            "tiers_mode": mode,
            "transform_quantity": transform,
            "type": if price.recurring.is_some() { "recurring" } else { "one_time" },
            "unit_amount": whole(price.unit_amount),
            "unit_amount_decimal": price.unit_amount.map(unit_decimal),
        })
    }

    /// The `tiers` of a price, which are told only when expanded.
    pub(crate) fn tiers_json(&self, price: &Price) -> Value {
        let tier = |tier: &Tier| {
            json!({
                "flat_amount": whole(tier.flat_amount),
                "flat_amount_decimal": tier.flat_amount.map(unit_decimal),
                "unit_amount": whole(tier.unit_amount),
                "unit_amount_decimal": tier.unit_amount.map(unit_decimal),
                "up_to": tier.up_to,
            })
        };
        price.tiers.iter().map(tier).collect()
    }

    pub(crate) fn meter_json(&self, meter: &Meter) -> Value {
        json!({
            "id": meter.id,
            "object": "billing.meter",
            "created": meter.created,
            "customer_mapping": { "event_payload_key": meter.customer_key, "type": "by_id" },
            "default_aggregation": { "formula": meter.formula },
            "display_name": meter.display_name,
            "event_name": meter.event_name,
            "event_time_window": null,
            "livemode": false,
            "status": if meter.deactivated_at.is_some() { "inactive" } else { "active" },
            "status_transitions": { "deactivated_at": meter.deactivated_at },
            "updated": meter.updated,
            "value_settings": { "event_payload_key": meter.value_key },
        })
    }

    pub(crate) fn meter_event_json(&self, event: &MeterEvent) -> Value {
        json!({
            "object": "billing.meter_event",
            "created": event.created,
            "event_name": event.event_name,
            "identifier": event.identifier,
            "livemode": false,
            "payload": event.payload,
            "timestamp": event.timestamp,
        })
    }
}
