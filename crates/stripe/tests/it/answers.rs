//! Stripe's own sample objects, read: each field is what the sample says.

use jiff::Timestamp;
use serde_json::Value;
use tenantry_stripe::checkout_sessions::{CheckoutSession, Mode, PaymentStatus};
use tenantry_stripe::customers::Customer;
use tenantry_stripe::events::Event;
use tenantry_stripe::invoice_items::InvoiceItem;
use tenantry_stripe::invoice_lines::InvoiceLine;
use tenantry_stripe::invoice_payments::{InvoicePayment, InvoicePaymentStatus};
use tenantry_stripe::invoices::{BillingReason, Invoice, InvoiceStatus};
use tenantry_stripe::meters::{Formula, Meter, MeterEvent, MeterStatus};
use tenantry_stripe::payment_methods::PaymentMethod;
use tenantry_stripe::portal::{PortalConfiguration, PortalSession};
use tenantry_stripe::prices::{BillingScheme, Price, PriceType, UsageType};
use tenantry_stripe::products::Product;
use tenantry_stripe::schedules::{EndBehavior, Schedule, ScheduleStatus};
use tenantry_stripe::shared::{CollectionMethod, Interval, TaxBehavior};
use tenantry_stripe::subscriptions::{Subscription, SubscriptionStatus};
use tenantry_stripe::{Deleted, Expandable, FromJson, Object};
use tenantry_stripe_spec::Spec;

/// A sample and what was read of it.
fn read<T: FromJson>(name: &str) -> Option<(&'static Value, T)> {
    let sample = Spec::or_ignore(&format!("the sample {name} is read"))?.fixture(name).unwrap();
    let read = T::from_json(sample).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some((sample, read))
}

fn at(value: &Value) -> Option<Timestamp> {
    value.as_i64().map(|second| Timestamp::from_second(second).unwrap())
}

fn id<T: Object>(value: Option<&Expandable<T>>) -> Option<&str> {
    value.map(Expandable::id)
}

#[test]
fn customers_are_read() {
    let Some((sample, it)) = read::<Customer>("customer") else { return };
    assert_eq!(it.id, sample["id"]);
    assert!(!it.deleted);
    assert_eq!(it.email.as_deref(), sample["email"].as_str());
    assert_eq!(it.name.as_deref(), sample["name"].as_str());
    assert_eq!(it.balance, sample["balance"].as_i64());
    assert_eq!(it.currency.as_deref(), sample["currency"].as_str());
    assert_eq!(it.tax_exempt.as_deref(), sample["tax_exempt"].as_str());
    assert_eq!(it.created, at(&sample["created"]));
    assert_eq!(it.raw, *sample);
    let settings = it.invoice_settings.unwrap();
    assert_eq!(id(settings.default_payment_method.as_ref()), None);
    let Some((sample, it)) = read::<Customer>("deleted_customer") else { return };
    assert_eq!((it.id.as_str(), it.deleted), (sample["id"].as_str().unwrap(), true));
}

#[test]
fn products_and_prices_are_read() {
    let Some((sample, it)) = read::<Product>("product") else { return };
    assert_eq!(it.id, sample["id"]);
    assert_eq!(it.name.as_deref(), Some("T-shirt"));
    assert_eq!(id(it.default_price.as_ref()), sample["default_price"].as_str());
    assert!(it.active);
    let Some((sample, it)) = read::<Price>("price") else { return };
    assert_eq!(it.id, sample["id"]);
    assert_eq!(it.currency.as_deref(), Some("usd"));
    assert_eq!((it.unit_amount, it.unit_amount_decimal.as_deref()), (Some(2000), Some("2000")));
    assert_eq!(it.billing_scheme, Some(BillingScheme::PerUnit));
    assert_eq!(it.kind, Some(PriceType::Recurring));
    assert_eq!(it.tax_behavior, Some(TaxBehavior::Unspecified));
    assert_eq!(id(it.product.as_ref()), sample["product"].as_str());
    assert_eq!((it.lookup_key, it.tiers_mode), (None, None));
    let recurring = it.recurring.unwrap();
    assert_eq!((recurring.interval, recurring.interval_count), (Interval::Month, Some(1)));
    assert_eq!((recurring.usage_type, recurring.meter), (Some(UsageType::Licensed), None));
}

#[test]
fn subscriptions_are_read() {
    let Some((sample, it)) = read::<Subscription>("subscription") else { return };
    assert_eq!(it.id, sample["id"]);
    assert_eq!(it.status.as_str(), sample["status"]);
    assert_ne!(it.status, SubscriptionStatus::Other(it.status.to_string()));
    assert_eq!(it.customer.id(), sample["customer"]);
    assert_eq!(it.collection_method, Some(CollectionMethod::ChargeAutomatically));
    assert_eq!(it.billing_cycle_anchor, at(&sample["billing_cycle_anchor"]));
    assert_eq!(it.cancel_at, at(&sample["cancel_at"]));
    assert_eq!(it.canceled_at, at(&sample["canceled_at"]));
    assert_eq!(it.ended_at, at(&sample["ended_at"]));
    assert_eq!(it.trial_end, at(&sample["trial_end"]));
    assert_eq!(it.start_date, at(&sample["start_date"]));
    assert_eq!(id(it.latest_invoice.as_ref()), sample["latest_invoice"].as_str());
    assert_eq!(id(it.schedule.as_ref()), sample["schedule"].as_str());
    assert_eq!(
        it.billing_mode.map(|mode| mode.kind.to_string()),
        sample["billing_mode"]["type"].as_str().map(str::to_owned)
    );
    assert_eq!(it.pending_update.is_some(), !sample["pending_update"].is_null());
    let (item, due) = (&it.items.data[0], &sample["items"]["data"][0]);
    assert_eq!(
        (item.id.as_str(), item.price.id.as_str()),
        (due["id"].as_str().unwrap(), due["price"]["id"].as_str().unwrap())
    );
    assert_eq!(item.quantity, due["quantity"].as_i64());
    assert_eq!(item.current_period_start, at(&due["current_period_start"]));
    assert_eq!(item.current_period_end, at(&due["current_period_end"]));
    assert!(item.current_period_end.is_some());
    assert_eq!(item.raw, *due);
}

#[test]
fn schedules_are_read() {
    let Some((sample, it)) = read::<Schedule>("subscription_schedule") else { return };
    assert_eq!(it.id, sample["id"]);
    assert_eq!(it.status.as_str(), sample["status"]);
    assert_ne!(it.status, ScheduleStatus::Other(it.status.to_string()));
    assert_eq!(it.end_behavior, Some(EndBehavior::Release));
    let current = it.current_phase.unwrap();
    assert_eq!(Some(current.0.start), at(&sample["current_phase"]["start_date"]));
    assert_eq!(Some(current.0.end), at(&sample["current_phase"]["end_date"]));
    let (phase, due) = (&it.phases[0], &sample["phases"][0]);
    assert_eq!(Some(phase.end_date), at(&due["end_date"]));
    assert_eq!(phase.items[0].price.id(), due["items"][0]["price"]);
    assert_eq!(phase.items[0].quantity, due["items"][0]["quantity"].as_i64());
}

#[test]
fn invoices_are_read() {
    let Some((sample, it)) = read::<Invoice>("invoice") else { return };
    assert_eq!(it.id, sample["id"]);
    assert_eq!(it.status, Some(InvoiceStatus::from(sample["status"].as_str().unwrap())));
    assert_eq!(it.billing_reason, Some(BillingReason::Manual));
    for (read, field) in [
        (it.amount_due, "amount_due"),
        (it.amount_paid, "amount_paid"),
        (it.amount_remaining, "amount_remaining"),
        (it.subtotal, "subtotal"),
        (it.total, "total"),
    ] {
        assert_eq!(Some(read), sample[field].as_i64(), "{field}");
    }
    assert_eq!(id(it.customer.as_ref()), sample["customer"].as_str());
    assert_eq!(it.period_start, at(&sample["period_start"]));
    assert_eq!(it.due_date, at(&sample["due_date"]));
    assert_eq!(it.subscription_id(), sample["parent"]["subscription_details"]["subscription"].as_str());
    assert!(it.last_finalization_error.is_some() && it.customer_address.is_some() && it.total_taxes.is_empty());
    let (line, due) = (&it.lines.data[0], &sample["lines"]["data"][0]);
    assert_eq!((line.id.as_str(), Some(line.amount)), (due["id"].as_str().unwrap(), due["amount"].as_i64()));
    let Some((sample, it)) = read::<InvoiceLine>("line_item") else { return };
    assert_eq!(it.times(), at(&sample["period"]["start"]).zip(at(&sample["period"]["end"])));
    // The sample has both details; what the line is, its type says.
    assert_eq!((it.invoice_item(), it.subscription_item(), it.is_proration()), (Some("invoice_item"), None, true));
}

#[test]
fn invoice_items_and_payments_are_read() {
    let Some((sample, it)) = read::<InvoiceItem>("invoiceitem") else { return };
    assert_eq!((it.id.as_str(), it.amount, it.currency.as_str()), (sample["id"].as_str().unwrap(), 1000, "usd"));
    assert_eq!(it.customer.id(), sample["customer"]);
    assert_eq!(it.period.map(|period| period.end), at(&sample["period"]["end"]));
    assert_eq!((it.invoice, it.quantity, it.proration), (None, Some(1), false));
    let Some((_, it)) = read::<Deleted>("deleted_invoiceitem") else { return };
    assert!(it.deleted);
    let Some((sample, it)) = read::<InvoicePayment>("invoice_payment") else { return };
    assert_eq!(it.invoice.id(), sample["invoice"]);
    assert_eq!((it.amount_paid, it.amount_requested), (None, sample["amount_requested"].as_i64()));
    // Samples of Stripe have words like this one for a status.
    assert_eq!(it.status, InvoicePaymentStatus::Other("status".to_owned()));
    assert_eq!(it.status_transitions.unwrap().paid_at, None);
    assert_eq!(it.payment.unwrap().kind.as_deref(), Some("payment_intent"));
}

#[test]
fn sessions_are_read() {
    let Some((sample, it)) = read::<CheckoutSession>("checkout.session") else { return };
    assert_eq!(it.id, sample["id"]);
    assert_eq!(it.mode, Some(Mode::Payment));
    assert_eq!(it.payment_status, Some(PaymentStatus::Unpaid));
    assert_eq!(it.status.map(|status| status.to_string()).as_deref(), sample["status"].as_str());
    assert_eq!(it.url.as_deref(), sample["url"].as_str());
    assert_eq!(it.expires_at, at(&sample["expires_at"]));
    let Some((sample, it)) = read::<PortalSession>("billing_portal.session") else { return };
    assert_eq!(
        (it.url.as_str(), it.customer.as_str()),
        (sample["url"].as_str().unwrap(), sample["customer"].as_str().unwrap())
    );
    let Some((sample, it)) = read::<PortalConfiguration>("billing_portal.configuration") else { return };
    assert_eq!((it.active, it.is_default), (sample["active"] == true, sample["is_default"] == true));
}

#[test]
fn payment_methods_meters_and_events_are_read() {
    let Some((sample, it)) = read::<PaymentMethod>("payment_method") else { return };
    assert_eq!((it.id.as_str(), it.kind.as_deref()), (sample["id"].as_str().unwrap(), Some("card")));
    let card = it.card.unwrap();
    assert_eq!((card.brand.as_deref(), card.last4.as_deref()), (Some("visa"), Some("4242")));
    assert_eq!((card.exp_month, card.exp_year), (Some(8), Some(2030)));
    let Some((sample, it)) = read::<Meter>("billing.meter") else { return };
    assert_eq!(it.event_name, sample["event_name"]);
    assert_eq!((it.status, it.default_aggregation.unwrap().formula), (MeterStatus::Active, Formula::Sum));
    let Some((_, it)) = read::<MeterEvent>("billing.meter_event") else { return };
    assert_eq!((it.event_name.as_str(), it.payload["value"].as_str()), ("api_request", "25"));
    let Some((sample, it)) = read::<Event>("event") else { return };
    assert_eq!(it.kind, "plan.created");
    assert_eq!(it.subject(), Some(("plan", sample["data"]["object"]["id"].as_str().unwrap())));
    assert_eq!(it.data.unwrap().object, sample["data"]["object"]);
    assert_eq!(it.request.unwrap().id, None);
}
