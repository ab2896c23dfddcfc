//! Everything that the sandbox remembers.

use rpds::RedBlackTreeMapSync as Tree;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::table::Table;
use crate::model::{
    Customer, Delivery, Endpoint, Event, Invoice, InvoiceItem, InvoicePayment, Meter, MeterEvent, PaymentIntent,
    PaymentMethod, PortalConfiguration, PortalSession, Price, Product, Schedule, Session, Subscription, Time,
};

/// A copy is cheap, which is how an operation that fails leaves nothing behind and a preview changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// Where ids come from, with the number of those that were given out.
    pub(crate) seed: String,
    pub(crate) drawn: u64,
    /// Seconds that the clock was advanced by.
    pub(crate) offset: i64,
    /// How far everything that falls due was done.
    pub(crate) done_until: Time,
    pub(crate) dunning_end: DunningEnd,
    pub(crate) customers: Table<Customer>,
    pub(crate) products: Table<Product>,
    pub(crate) prices: Table<Price>,
    pub(crate) meters: Table<Meter>,
    pub(crate) meter_events: Table<MeterEvent>,
    pub(crate) payment_methods: Table<PaymentMethod>,
    pub(crate) payment_intents: Table<PaymentIntent>,
    pub(crate) invoice_payments: Table<InvoicePayment>,
    pub(crate) invoices: Table<Invoice>,
    pub(crate) invoice_items: Table<InvoiceItem>,
    pub(crate) subscriptions: Table<Subscription>,
    pub(crate) schedules: Table<Schedule>,
    pub(crate) sessions: Table<Session>,
    pub(crate) portal_configurations: Table<PortalConfiguration>,
    pub(crate) portal_sessions: Table<PortalSession>,
    pub(crate) endpoints: Table<Endpoint>,
    pub(crate) events: Table<Event>,
    pub(crate) deliveries: Table<Delivery>,
    pub(crate) idempotency: Tree<String, Remembered>,
}

/// What happens to a subscription when the last retry of a payment fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DunningEnd {
    /// It is canceled.
    #[default]
    Cancel,
    /// It stays, and nothing is charged any more.
    Unpaid,
    /// It stays past due, and later invoices are charged.
    PastDue,
}

/// The answer to a request with an idempotency key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) at: Time,
    pub(crate) digest: String,
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl State {
    /// An empty state whose ids come from the seed.
    pub(crate) fn new(seed: String, now: Time) -> Self {
        Self {
            seed,
            drawn: 0,
            offset: 0,
            done_until: now,
            dunning_end: DunningEnd::default(),
            customers: Table::default(),
            products: Table::default(),
            prices: Table::default(),
            meters: Table::default(),
            meter_events: Table::default(),
            payment_methods: Table::default(),
            payment_intents: Table::default(),
            invoice_payments: Table::default(),
            invoices: Table::default(),
            invoice_items: Table::default(),
            subscriptions: Table::default(),
            schedules: Table::default(),
            sessions: Table::default(),
            portal_configurations: Table::default(),
            portal_sessions: Table::default(),
            endpoints: Table::default(),
            events: Table::default(),
            deliveries: Table::default(),
            idempotency: Tree::new_sync(),
        }
    }
}
