//! Customers, their tax ids and payment methods.

use serde_json::{Value, json};

use crate::engine::Work;
use crate::model::{Address, Customer, InvoiceStatus, PaymentMethod, TaxId};

/// An address with all its members.
pub(crate) fn address_json(address: &Address) -> Value {
    json!({
        "city": address.city,
        "country": address.country,
        "line1": address.line1,
        "line2": address.line2,
        "postal_code": address.postal_code,
        "state": address.state,
    })
}

#[expect(clippy::unused_self, reason = "every object is shown in the same way, by the work")]
impl Work {
    pub(crate) fn customer_json(&self, customer: &Customer) -> Value {
        if customer.deleted {
            return json!({ "id": customer.id, "object": "customer", "deleted": true });
        }
        json!({
            "id": customer.id,
            "object": "customer",
            "address": customer.address.as_ref().map(address_json),
            "balance": customer.balance,
            "created": customer.created,
            "currency": customer.currency,
            "default_source": null,
            "delinquent": self.delinquent(customer),
            "description": customer.description,
            "discount": null,
            "email": customer.email,
            "invoice_prefix": customer.invoice_prefix,
            "invoice_settings": {
                "custom_fields": null,
                "default_payment_method": customer.default_payment_method,
                "footer": customer.invoice_footer,
                "rendering_options": null,
            },
            "livemode": false,
            "metadata": customer.metadata,
            "name": customer.name,
            "next_invoice_sequence": customer.next_invoice_sequence,
            "phone": customer.phone,
            "preferred_locales": customer.preferred_locales,
            "shipping": customer.shipping,
            "tax_exempt": customer.tax_exempt,
            "test_clock": null,
        })
    }

    /// Whether an invoice that was charged automatically is still open.
    fn delinquent(&self, customer: &Customer) -> bool {
        (self.state.invoices.iter()).any(|invoice| {
            invoice.customer == customer.id
                && invoice.status == InvoiceStatus::Open
                && invoice.attempted
                && !invoice.sends_bill
        })
    }

    pub(crate) fn tax_id_json(&self, tax_id: &TaxId, customer: &str) -> Value {
        json!({
            "id": tax_id.id,
            "object": "tax_id",
            "country": tax_id.kind.split('_').next().filter(|head| head.len() == 2).map(str::to_ascii_uppercase),
            "created": tax_id.created,
            "customer": customer,
            "livemode": false,
            "owner": { "type": "customer", "customer": customer },
            "type": tax_id.kind,
            "value": tax_id.value,
            "verification": { "status": "pending", "verified_address": null, "verified_name": null },
        })
    }

    pub(crate) fn payment_method_json(&self, method: &PaymentMethod) -> Value {
        let card = &method.card;
        let address = method.address.clone().unwrap_or_default();
        json!({
            "id": method.id,
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": {
                "address": address_json(&address),
                "email": method.email,
                "name": method.name,
                "phone": method.phone,
                "tax_id": null,
            },
            "card": {
                "brand": card.brand,
                "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
                "country": "US",
                "display_brand": card.brand,
                "exp_month": card.exp_month,
                "exp_year": card.exp_year,
                "fingerprint": format!("sandbox{}{}", card.brand, card.last4),
                "funding": "credit",
                "generated_from": null,
                "last4": card.last4,
                "networks": { "available": [card.brand], "preferred": null },
                "regulated_status": "unregulated",
                "three_d_secure_usage": { "supported": true },
                "wallet": null,
            },
            "created": method.created,
            "customer": method.customer,
            "livemode": false,
            "metadata": method.metadata,
            "type": "card",
        })
    }
}
