//! Events, webhook endpoints, and objects by their id.

use serde_json::{Value, json};

use crate::engine::Work;
use crate::model::{DeliveryState, Endpoint, Event};

/// The version that all answers and payloads are of.
pub(crate) const API_VERSION: &str = "2025-08-27.basil";

#[expect(clippy::unused_self, reason = "every object is shown in the same way, by the work")]
impl Work {
    pub(crate) fn event_json(&self, event: &Event) -> Value {
        let mut data = json!({ "object": event.object });
        if let (Some(previous), Some(members)) = (&event.previous, data.as_object_mut()) {
            members.insert("previous_attributes".to_owned(), previous.clone());
        }
        json!({
            "id": event.id,
            "object": "event",
            "api_version": API_VERSION,
            "created": event.created,
            "data": data,
            "livemode": false,
            "pending_webhooks": self.pending_webhooks(&event.id),
            "request": { "id": event.request, "idempotency_key": event.idempotency_key },
            "type": event.kind,
        })
    }

    /// Endpoints that have not answered with success yet.
    pub(crate) fn pending_webhooks(&self, event: &str) -> usize {
        let open =
            |delivery: &&crate::model::Delivery| delivery.event == event && delivery.state != DeliveryState::Delivered;
        self.state.deliveries.iter().filter(open).count()
    }

    pub(crate) fn endpoint_json(&self, endpoint: &Endpoint) -> Value {
        json!({
            "id": endpoint.id,
            "object": "webhook_endpoint",
            "api_version": endpoint.api_version,
            "application": null,
            "created": endpoint.created,
            "description": endpoint.description,
            "enabled_events": endpoint.enabled_events,
            "livemode": false,
            "metadata": endpoint.metadata,
            "status": if endpoint.disabled { "disabled" } else { "enabled" },
            "url": endpoint.url,
        })
    }

    /// Any object that another one refers to by id.
    pub(crate) fn object_by_id(&self, member: &str, id: &str) -> Option<Value> {
        let state = &self.state;
        let by_name = match member {
            "product" => state.products.get(id).map(|found| self.product_json(found)),
            "customer" => state.customers.get(id).map(|found| self.customer_json(found)),
            "price" | "plan" | "default_price" => state.prices.get(id).map(|found| self.price_json(found)),
            _ => None,
        };
        by_name.or_else(|| {
            let prefix = id.split_once('_').map(|(prefix, _)| prefix)?;
            match prefix {
                "cus" => state.customers.get(id).map(|found| self.customer_json(found)),
                "sub" if id.starts_with("sub_sched_") => state.schedules.get(id).map(|found| self.schedule_json(found)),
                "sub" => state.subscriptions.get(id).map(|found| self.subscription_json(found)),
                "in" => state.invoices.get(id).map(|found| self.invoice_json(found)),
                "pm" => state.payment_methods.get(id).map(|found| self.payment_method_json(found)),
                "pi" => state.payment_intents.get(id).map(|found| self.payment_intent_json(found)),
                "price" => state.prices.get(id).map(|found| self.price_json(found)),
                "ii" => state.invoice_items.get(id).map(|found| self.invoice_item_json(found)),
                "bpc" => state.portal_configurations.get(id).map(|found| self.portal_configuration_json(found)),
                _ => None,
            }
        })
    }
}
