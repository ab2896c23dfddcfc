//! Subscriptions, their items, schedules.

use serde_json::{Value, json};

use super::embedded;
use crate::engine::Work;
use crate::model::{BillingMode, Item, MissingMethod, PendingUpdate, Phase, Schedule, ScheduleStatus, Subscription};

fn billing_mode(mode: BillingMode) -> Value {
    match mode {
        BillingMode::Classic => json!({ "flexible": null, "type": "classic" }),
        BillingMode::Flexible => json!({ "flexible": { "proration_discounts": "included" }, "type": "flexible" }),
    }
}

fn automatic_tax(enabled: bool) -> Value {
    let liability = enabled.then(|| json!({ "type": "self" }));
    json!({ "disabled_reason": null, "enabled": enabled, "liability": liability })
}

#[expect(clippy::unused_self, reason = "every object is shown in the same way, by the work")]
impl Work {
    pub(crate) fn subscription_json(&self, subscription: &Subscription) -> Value {
        let missing = match subscription.missing_payment_method {
            MissingMethod::CreateInvoice => "create_invoice",
            MissingMethod::Cancel => "cancel",
            MissingMethod::Pause => "pause",
        };
        let items: Vec<Value> = subscription.items.iter().map(|item| self.item_json(item, &subscription.id)).collect();
        json!({
            "id": subscription.id,
            "object": "subscription",
            "application": null,
            "application_fee_percent": null,
            "automatic_tax": automatic_tax(subscription.automatic_tax),
            "billing_cycle_anchor": subscription.billing_cycle_anchor,
            "billing_cycle_anchor_config": null,
            "billing_mode": billing_mode(subscription.billing_mode),
            "billing_thresholds": null,
            "cancel_at": subscription.cancel_at,
            "cancel_at_period_end": subscription.cancel_at_period_end,
            "canceled_at": subscription.canceled_at,
            "cancellation_details": {
                "comment": subscription.cancel_comment,
                "feedback": subscription.cancel_feedback,
                "reason": subscription.cancel_reason,
            },
            "collection_method": if subscription.sends_bill { "send_invoice" } else { "charge_automatically" },
            "created": subscription.created,
            "currency": subscription.currency,
            "customer": subscription.customer,
            "days_until_due": subscription.days_until_due,
            "default_payment_method": subscription.default_payment_method,
            "default_source": null,
            "default_tax_rates": [],
            "description": subscription.description,
            "discounts": [],
            "ended_at": subscription.ended_at,
            "invoice_settings": { "account_tax_ids": null, "issuer": { "type": "self" } },
            "items": embedded(&items, &format!("/v1/subscription_items?subscription={}", subscription.id)),
            "latest_invoice": subscription.latest_invoice,
            "livemode": false,
            "metadata": subscription.metadata,
            "next_pending_invoice_item_invoice": null,
            "on_behalf_of": null,
            "pause_collection": null,
            "payment_settings": payment_settings(&subscription.payment_settings),
            "pending_invoice_item_interval": null,
            "pending_setup_intent": null,
            "pending_update": subscription.pending_update.as_ref()
                .map(|pending| self.pending_json(pending, &subscription.id)),
            "schedule": subscription.schedule,
            "start_date": subscription.start_date,
            "status": subscription.status.word(),
            "test_clock": null,
            "transfer_data": null,
            "trial_end": subscription.trial_end,
            "trial_settings": { "end_behavior": { "missing_payment_method": missing } },
            "trial_start": subscription.trial_start,
        })
    }

    pub(crate) fn item_json(&self, item: &Item, subscription: &str) -> Value {
        let price = self.state.prices.get(&item.price).map(|price| self.price_json(price));
        let mut shown = json!({
            "id": item.id,
            "object": "subscription_item",
            "billing_thresholds": null,
            "created": item.created,
            "current_period_end": item.period_end,
            "current_period_start": item.period_start,
            "discounts": [],
            "metadata": item.metadata,
            "plan": price.as_ref().map(plan),
            "price": price,
            "subscription": subscription,
            "tax_rates": [],
        });
        if let (Some(quantity), Some(members)) = (item.quantity, shown.as_object_mut()) {
            members.insert("quantity".to_owned(), quantity.into());
        }
        shown
    }

    fn pending_json(&self, pending: &PendingUpdate, subscription: &str) -> Value {
        let items: Vec<Value> = pending.items.iter().map(|item| self.item_json(item, subscription)).collect();
        json!({
            "billing_cycle_anchor": pending.billing_cycle_anchor,
            "expires_at": pending.expires_at,
            "subscription_items": items,
            "trial_end": pending.trial_end,
            "trial_from_plan": null,
        })
    }

    pub(crate) fn schedule_json(&self, schedule: &Schedule) -> Value {
        let current = schedule.phases.get(schedule.begun).filter(|_| schedule.status == ScheduleStatus::Active);
        let phases: Vec<Value> = schedule.phases.iter().map(phase).collect();
        json!({
            "id": schedule.id,
            "object": "subscription_schedule",
            "application": null,
            "billing_mode": billing_mode(schedule.billing_mode),
            "canceled_at": schedule.canceled_at,
            "completed_at": schedule.completed_at,
            "created": schedule.created,
            "current_phase": current.map(|phase| json!({ "end_date": phase.end, "start_date": phase.start })),
            "customer": schedule.customer,
            "default_settings": {
                "application_fee_percent": null,
                "automatic_tax": automatic_tax(false),
                "billing_cycle_anchor": "automatic",
                "billing_thresholds": null,
                "collection_method": "charge_automatically",
                "default_payment_method": null,
                "description": null,
                "invoice_settings": { "account_tax_ids": null, "days_until_due": null, "issuer": { "type": "self" } },
                "on_behalf_of": null,
                "transfer_data": null,
            },
            "end_behavior": schedule.end_behavior,
            "livemode": false,
            "metadata": schedule.metadata,
            "phases": phases,
            "released_at": schedule.released_at,
            "released_subscription": schedule.released_subscription,
            "status": schedule.status.word(),
            "subscription": schedule.subscription,
            "test_clock": null,
        })
    }
}

fn phase(phase: &Phase) -> Value {
    let items: Vec<Value> = (phase.items.iter())
        .map(|item| {
            let mut shown = json!({
                "billing_thresholds": null,
                "discounts": [],
                "metadata": item.metadata,
                "plan": item.price,
                "price": item.price,
                "tax_rates": [],
            });
            if let (Some(quantity), Some(members)) = (item.quantity, shown.as_object_mut()) {
                members.insert("quantity".to_owned(), quantity.into());
            }
            shown
        })
        .collect();
    json!({
        "add_invoice_items": [],
        "application_fee_percent": null,
        "automatic_tax": automatic_tax(false),
        "billing_cycle_anchor": null,
        "billing_thresholds": null,
        "collection_method": null,
        "currency": phase.currency,
        "default_payment_method": null,
        "default_tax_rates": [],
        "description": null,
        "discounts": [],
        "end_date": phase.end,
        "invoice_settings": null,
        "items": items,
        "metadata": phase.metadata,
        "on_behalf_of": null,
        "proration_behavior": phase.proration_behavior,
        "start_date": phase.start,
        "transfer_data": null,
        "trial_end": phase.trial_end,
    })
}

fn payment_settings(sent: &Value) -> Value {
    json!({
        "payment_method_options": null,
        "payment_method_types": sent.get("payment_method_types").cloned(),
        "save_default_payment_method": sent.get("save_default_payment_method").map_or(json!("off"), Clone::clone),
    })
}

/// The older shape of a price that items still carry.
fn plan(price: &Value) -> Value {
    let recurring = price.get("recurring").cloned().unwrap_or_default();
    json!({
        "id": price.get("id"),
        "object": "plan",
        "active": price.get("active"),
        "amount": price.get("unit_amount"),
        "amount_decimal": price.get("unit_amount_decimal"),
        "billing_scheme": price.get("billing_scheme"),
        "created": price.get("created"),
        "currency": price.get("currency"),
        "interval": recurring.get("interval"),
        "interval_count": recurring.get("interval_count"),
        "livemode": false,
        "metadata": price.get("metadata"),
        "meter": recurring.get("meter"),
        "nickname": price.get("nickname"),
        "product": price.get("product"),
        "tiers_mode": price.get("tiers_mode"),
        "transform_usage": null,
        "trial_period_days": null,
        "usage_type": recurring.get("usage_type"),
    })
}
