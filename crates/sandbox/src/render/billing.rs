//! Payment intents, payments of invoices, the billing portal.

use serde_json::{Value, json};

use crate::engine::Work;
use crate::model::{InvoicePayment, PaymentIntent, PaymentStatus, PortalConfiguration, PortalSession};

#[expect(clippy::unused_self, reason = "every object is shown in the same way, by the work")]
impl Work {
    pub(crate) fn payment_intent_json(&self, intent: &PaymentIntent) -> Value {
        let page =
            self.state.invoices.get(&intent.invoice).map(|invoice| format!("{}/i/{}", self.base_url, invoice.page));
        let action = (intent.status == "requires_action")
            .then(|| json!({ "redirect_to_url": { "return_url": null, "url": page }, "type": "redirect_to_url" }));
        json!({
            "id": intent.id,
            "object": "payment_intent",
            "amount": intent.amount,
            "amount_capturable": 0,
            "amount_received": if intent.status == "succeeded" { intent.amount } else { 0 },
            "application": null,
            "application_fee_amount": null,
            "automatic_payment_methods": null,
            "canceled_at": intent.canceled_at,
            "cancellation_reason": intent.canceled_at.map(|_| "void_invoice"),
            "capture_method": "automatic",
            "client_secret": intent.client_secret,
            "confirmation_method": "automatic",
            "created": intent.created,
            "currency": intent.currency,
            "customer": intent.customer,
            "description": "Subscription invoice",
            "last_payment_error": intent.last_error,
            "latest_charge": null,
            "livemode": false,
            "metadata": {},
            "next_action": action,
            "on_behalf_of": null,
            "payment_method": intent.payment_method,
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "processing": null,
            "receipt_email": null,
            "review": null,
            "setup_future_usage": "off_session",
            "shipping": null,
            "statement_descriptor": null,
            "statement_descriptor_suffix": null,
            "status": intent.status,
            "transfer_data": null,
            "transfer_group": null,
        })
    }

    pub(crate) fn invoice_payment_json(&self, payment: &InvoicePayment) -> Value {
        let status = match payment.status {
            PaymentStatus::Open => "open",
            PaymentStatus::Paid => "paid",
            PaymentStatus::Canceled => "canceled",
        };
        json!({
            "id": payment.id,
            "object": "invoice_payment",
            "amount_paid": payment.amount_paid,
            "amount_requested": payment.amount_requested,
            "created": payment.created,
            "currency": payment.currency,
            "invoice": payment.invoice,
            "is_default": true,
            "livemode": false,
            "payment": { "payment_intent": payment.payment_intent, "type": "payment_intent" },
            "status": status,
            "status_transitions": { "canceled_at": payment.canceled_at, "paid_at": payment.paid_at },
        })
    }

    pub(crate) fn portal_configuration_json(&self, configuration: &PortalConfiguration) -> Value {
        let products: Vec<Value> = (configuration.products.iter())
            .map(|(product, prices)| {
                let fixed = json!({ "enabled": false, "maximum": null, "minimum": 1 });
                json!({ "adjustable_quantity": fixed, "prices": prices, "product": product })
            })
            .collect();
        json!({
            "id": configuration.id,
            "object": "billing_portal.configuration",
            "active": configuration.active,
            "application": null,
            "business_profile": {
                "headline": configuration.headline,
                "privacy_policy_url": configuration.privacy_policy_url,
                "terms_of_service_url": configuration.terms_of_service_url,
            },
            "created": configuration.created,
            "default_return_url": configuration.default_return_url,
            "features": {
                "customer_update": {
                    "allowed_updates": configuration.allowed_updates,
                    "enabled": configuration.customer_update,
                },
                "invoice_history": { "enabled": configuration.invoice_history },
                "payment_method_update": {
                    "enabled": configuration.payment_method_update,
                    "payment_method_configuration": null,
                },
                "subscription_cancel": {
                    "cancellation_reason": {
                        "enabled": false,
                        "options": ["too_expensive", "missing_features", "switched_service", "unused", "other"],
                    },
                    "enabled": configuration.cancel,
                    "mode": configuration.cancel_mode,
                    "proration_behavior": configuration.cancel_proration,
                },
                "subscription_update": {
                    "billing_cycle_anchor": null,
                    "default_allowed_updates": configuration.switch_updates,
                    "enabled": configuration.switch,
                    "products": products,
                    "proration_behavior": configuration.switch_proration,
                    "schedule_at_period_end": { "conditions": [] },
                    "trial_update_behavior": "end_trial",
                },
            },
            "is_default": configuration.is_default,
            "livemode": false,
            "login_page": { "enabled": false, "url": null },
            "metadata": configuration.metadata,
            "name": configuration.name,
            "updated": configuration.updated,
        })
    }

    pub(crate) fn portal_session_json(&self, session: &PortalSession) -> Value {
        json!({
            "id": session.id,
            "object": "billing_portal.session",
            "configuration": session.configuration,
            "created": session.created,
            "customer": session.customer,
            "flow": session.flow,
            "livemode": false,
            "locale": session.locale,
            "on_behalf_of": null,
            "return_url": session.return_url,
            "url": format!("{}/p/session/{}", self.base_url, session.page),
        })
    }
}
