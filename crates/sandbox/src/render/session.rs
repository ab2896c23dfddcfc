//! Checkout sessions.

use serde_json::{Value, json};

use super::customer::address_json;
use super::embedded;
use crate::engine::{Work, amount};
use crate::model::{LineItem, Session, SessionStatus};

impl Work {
    pub(crate) fn session_json(&self, session: &Session) -> Value {
        let complete = session.status == SessionStatus::Complete;
        let subtotal = self.session_subtotal(session);
        let tax = session.paid_tax.unwrap_or(0);
        let total = subtotal + tax;
        let payment_status = match (complete, total) {
            (true, 0) => "no_payment_required",
            (true, _) => "paid",
            (false, _) => "unpaid",
        };
        let tax_status =
            session.automatic_tax.then_some(if complete { "complete" } else { "requires_location_inputs" });
        let mut shown = json!({
            "id": session.id,
            "object": "checkout.session",
            "adaptive_pricing": null,
            "after_expiration": null,
            "allow_promotion_codes": session.allow_promotion_codes,
            "amount_subtotal": subtotal,
            "amount_total": total,
            "automatic_tax": {
                "enabled": session.automatic_tax,
                "liability": session.automatic_tax.then(|| json!({ "type": "self" })),
                "provider": session.automatic_tax.then_some("stripe"),
                "status": tax_status,
            },
            "billing_address_collection": if session.address_required { "required" } else { "auto" },
            "cancel_url": session.cancel_url,
            "client_reference_id": session.client_reference_id,
            "client_secret": null,
            "collected_information": null,
            "consent": null,
            "consent_collection": null,
            "created": session.created,
            "currency": session.currency,
            "currency_conversion": null,
            "custom_fields": [],
            "custom_text": {
                "after_submit": null,
                "shipping_address": null,
                "submit": null,
                "terms_of_service_acceptance": null,
            },
            "customer": session.customer,
            "customer_creation": session.customer.is_none().then_some("always"),
            "customer_details": self.customer_details(session),
            "customer_email": session.customer_email.as_ref().filter(|_| session.customer.is_none()),
            "discounts": [],
            "expires_at": session.expires_at,
        });
        let rest = self.session_rest(session, payment_status, tax);
        if let (Some(members), Value::Object(rest)) = (shown.as_object_mut(), rest) {
            members.extend(rest);
        }
        shown
    }

    /// The second half of a session.
    fn session_rest(&self, session: &Session, payment_status: &str, tax: i64) -> Value {
        json!({
            "invoice": session.invoice,
            "invoice_creation": null,
            "livemode": false,
            "locale": session.locale,
            "metadata": session.metadata,
            "mode": "subscription",
            "origin_context": null,
            "payment_intent": null,
            "payment_link": null,
            "payment_method_collection": if session.card_if_required { "if_required" } else { "always" },
            "payment_method_configuration_details": null,
            "payment_method_options": { "card": { "request_three_d_secure": "automatic" } },
            "payment_method_types": ["card"],
            "payment_status": payment_status,
            "permissions": null,
            "phone_number_collection": { "enabled": false },
            "recovered_from": null,
            "saved_payment_method_options": {
                "allow_redisplay_filters": ["always"],
                "payment_method_remove": "disabled",
                "payment_method_save": null,
            },
            "setup_intent": null,
            "shipping_address_collection": null,
            "shipping_cost": null,
            "shipping_options": [],
            "status": session.status.word(),
            "submit_type": null,
            "subscription": session.subscription,
            "success_url": session.success_url,
            "tax_id_collection": { "enabled": session.collect_tax_id, "required": "never" },
            "total_details": { "amount_discount": 0, "amount_shipping": 0, "amount_tax": tax },
            "ui_mode": "hosted",
            "url": (session.status == SessionStatus::Open).then(|| format!("{}/c/pay/{}", self.base_url, session.id)),
            "wallet_options": null,
        })
    }

    /// What is due now without taxes: nothing while a trial runs.
    pub(crate) fn session_subtotal(&self, session: &Session) -> i64 {
        if session.data.trial_days.is_some() || session.data.trial_end.is_some() {
            return 0;
        }
        session.line_items.iter().map(|item| self.line_item_amount(item)).sum()
    }

    /// The amount of a line of a session.
    pub(crate) fn line_item_amount(&self, item: &LineItem) -> i64 {
        let price = self.state.prices.get(&item.price).filter(|price| !price.metered());
        price.map_or(0, |price| amount(price, item.quantity.unwrap_or(1)))
    }

    fn customer_details(&self, session: &Session) -> Value {
        let customer = session.customer.as_ref().and_then(|id| self.state.customers.get(id));
        let email = session.customer_email.clone().or_else(|| customer?.email.clone());
        if email.is_none() && customer.is_none() {
            return Value::Null;
        }
        let tax_ids: Vec<Value> =
            session.customer_tax_ids.iter().map(|(kind, value)| json!({ "type": kind, "value": value })).collect();
        let address = session.customer_address.as_ref().or_else(|| customer?.address.as_ref());
        json!({
            "address": address.map(address_json),
            "email": email,
            "name": session.customer_name.clone().or_else(|| customer?.name.clone()),
            "phone": null,
            "tax_exempt": customer.map_or("none", |customer| customer.tax_exempt.as_str()),
            "tax_ids": (session.status == SessionStatus::Complete).then_some(tax_ids),
        })
    }

    /// The `line_items` of a session, which are told when asked for.
    pub(crate) fn line_items_json(&self, session: &Session) -> Value {
        let trial = self.session_subtotal(session) == 0;
        let line = |item: &LineItem| {
            let price = self.state.prices.get(&item.price);
            let subtotal = if trial { 0 } else { self.line_item_amount(item) };
            json!({
                "id": item.id,
                "object": "item",
                "amount_discount": 0,
                "amount_subtotal": subtotal,
                "amount_tax": 0,
                "amount_total": subtotal,
                "currency": session.currency,
                "description": price.map(|price| self.product_name(price)),
                "price": price.map(|price| self.price_json(price)),
                "quantity": item.quantity.unwrap_or(1),
            })
        };
        let data: Vec<Value> = session.line_items.iter().map(line).collect();
        embedded(&data, &format!("/v1/checkout/sessions/{}/line_items", session.id))
    }
}
