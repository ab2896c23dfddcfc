//! What the sandbox holds: one struct for each kind of object. How it looks on the wire is in `render`.

mod catalog;
mod customer;
mod delivery;
mod invoice;
mod payment;
mod portal;
mod schedule;
mod session;
mod subscription;

pub(crate) use catalog::{Meter, MeterEvent, Price, Product, Recurring, Tier, TiersMode, Transform};
pub(crate) use customer::{Address, Customer, TaxId};
pub(crate) use delivery::{Attempt, Delivery, DeliveryState, Endpoint, Event};
pub(crate) use invoice::{Credited, Invoice, InvoiceItem, InvoiceStatus, Line, LineParent};
pub(crate) use payment::{Card, CardBehaviour, InvoicePayment, PaymentIntent, PaymentMethod, PaymentStatus};
pub(crate) use portal::{PortalConfiguration, PortalSession};
pub(crate) use schedule::{Phase, PhaseItem, Schedule, ScheduleStatus};
pub(crate) use session::{LineItem, Session, SessionStatus, SubscriptionData};
pub(crate) use subscription::{BillingMode, Item, MissingMethod, PendingUpdate, Status, Subscription};

use std::collections::BTreeMap;

/// Unix seconds.
pub(crate) type Time = i64;
/// Pairs of the caller.
pub(crate) type Metadata = BTreeMap<String, String>;

/// Implements `Row` for structs with an `id`.
macro_rules! rows {
    ($($kind:ty: $noun:literal),+ $(,)?) => {
        $(impl crate::engine::Row for $kind {
            const NOUN: &'static str = $noun;

            fn id(&self) -> &str {
                &self.id
            }
        })+
    };
}

rows! {
    Customer: "customer", Product: "product", Price: "price", Meter: "billing meter", MeterEvent: "meter event",
    PaymentMethod: "PaymentMethod", PaymentIntent: "payment_intent", InvoicePayment: "invoice payment",
    Invoice: "invoice", InvoiceItem: "invoiceitem", Subscription: "subscription", Schedule: "subscription schedule",
    Session: "checkout.session", PortalConfiguration: "configuration", PortalSession: "portal session",
    Event: "event", Delivery: "delivery", Endpoint: "webhook endpoint",
}
