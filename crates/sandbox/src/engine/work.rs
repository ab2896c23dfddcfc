//! One operation at work: a copy of the state that is kept when it succeeds, the time, and what it emits.

use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::state::State;
use super::table::{Row, Table};
use crate::fault::Fault;
use crate::model::{Customer, Delivery, DeliveryState, Event, Invoice, Price, Subscription, Time};

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) state: State,
    /// Sandbox time.
    pub(crate) now: Time,
    /// Where the hosted pages are, without a slash at the end.
    pub(crate) base_url: Arc<str>,
    pub(crate) request: RequestInfo,
    /// Events get this time, when a switch pins it.
    pub(crate) pinned: Option<Time>,
}

/// The request that an operation belongs to; empty for what the clock does.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestInfo {
    pub(crate) id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Work {
    /// A new id: the prefix and so many letters, drawn from the seed of the state.
    pub(crate) fn id(&mut self, prefix: &str, letters: usize) -> String {
        let mut id = prefix.to_owned();
        while id.len() < prefix.len() + letters {
            self.state.drawn += 1;
            let block = Sha256::digest(format!("{}/{}", self.state.seed, self.state.drawn));
            let drawn = block.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 62)));
            id.extend(drawn.map(|letter| char::from(*letter)).take(prefix.len() + letters - id.len()));
        }
        id
    }

    /// An id as the large objects have: `sub_1…`.
    pub(crate) fn long_id(&mut self, prefix: &str) -> String {
        self.id(&format!("{prefix}1"), 23)
    }

    /// Emits an event about an object that was made or went through something.
    pub(crate) fn emit(&mut self, kind: &str, object: Value) {
        self.push(kind, object, None);
    }

    /// Emits an event about a changed object, with what its members were before. Nothing when nothing differs.
    pub(crate) fn emit_change(&mut self, kind: &str, before: &Value, after: Value) {
        if let Some(previous) = difference(before, &after) {
            self.push(kind, after, Some(previous));
        }
    }

    fn push(&mut self, kind: &str, object: Value, previous: Option<Value>) {
        let event = Event {
            id: self.long_id("evt_"),
            created: self.pinned.unwrap_or(self.now),
            kind: kind.to_owned(),
            object,
            previous,
            request: self.request.id.clone(),
            idempotency_key: self.request.idempotency_key.clone(),
        };
        let wanted = |enabled: &[String]| enabled.iter().any(|name| name == "*" || name == kind);
        let endpoints: Vec<String> = (self.state.endpoints.iter())
            .filter(|endpoint| !endpoint.disabled && wanted(&endpoint.enabled_events))
            .map(|endpoint| endpoint.id.clone())
            .collect();
        for endpoint in endpoints {
            let delivery = Delivery {
                id: self.id("del_", 16),
                event: event.id.clone(),
                endpoint,
                state: DeliveryState::Pending,
                attempts: Vec::new(),
            };
            self.state.deliveries.put(delivery);
        }
        self.state.events.put(event);
    }

    /// An object that the path names.
    pub(crate) fn find<'a, T: Row>(table: &'a Table<T>, id: &str) -> Result<&'a T, Fault> {
        table.get(id).ok_or_else(|| Fault::missing(T::NOUN, id))
    }

    /// An object that a parameter names.
    pub(crate) fn named<'a, T: Row>(table: &'a Table<T>, id: &str, param: &str) -> Result<&'a T, Fault> {
        table.get(id).ok_or_else(|| Fault::missing_param(T::NOUN, id, param))
    }

    /// A customer that a parameter names, not a deleted one.
    pub(crate) fn customer(&self, id: &str, param: &str) -> Result<&Customer, Fault> {
        let customer = Self::named(&self.state.customers, id, param)?;
        if customer.deleted { Err(Fault::missing_param(Customer::NOUN, id, param)) } else { Ok(customer) }
    }

    /// An object that another one refers to. It is there as long as the sandbox keeps its own books.
    pub(crate) fn subscription(&self, id: &str) -> Result<Subscription, Fault> {
        Self::find(&self.state.subscriptions, id).cloned()
    }

    /// See [`Work::subscription`].
    pub(crate) fn invoice(&self, id: &str) -> Result<Invoice, Fault> {
        Self::find(&self.state.invoices, id).cloned()
    }

    /// See [`Work::subscription`].
    pub(crate) fn price(&self, id: &str) -> Result<&Price, Fault> {
        Self::find(&self.state.prices, id)
    }

    /// Changes a subscription and emits what differs.
    pub(crate) fn change_subscription(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Subscription),
    ) -> Result<(), Fault> {
        let before = self.subscription(id)?;
        let shown = self.subscription_json(&before);
        let mut after = before;
        change(&mut after);
        let now_shown = self.subscription_json(&after);
        self.state.subscriptions.put(after);
        self.emit_change("customer.subscription.updated", &shown, now_shown);
        Ok(())
    }

    /// Changes an invoice and emits what differs.
    pub(crate) fn change_invoice(&mut self, id: &str, change: impl FnOnce(&mut Invoice)) -> Result<(), Fault> {
        let before = self.invoice(id)?;
        let shown = self.invoice_json(&before);
        let mut after = before;
        change(&mut after);
        let now_shown = self.invoice_json(&after);
        self.state.invoices.put(after);
        self.emit_change("invoice.updated", &shown, now_shown);
        Ok(())
    }

    /// Changes a customer and emits what differs.
    pub(crate) fn change_customer(&mut self, id: &str, change: impl FnOnce(&mut Customer)) -> Result<(), Fault> {
        let before = Self::find(&self.state.customers, id)?.clone();
        let shown = self.customer_json(&before);
        let mut after = before;
        change(&mut after);
        let now_shown = self.customer_json(&after);
        self.state.customers.put(after);
        self.emit_change("customer.updated", &shown, now_shown);
        Ok(())
    }

    /// Emits an event with an invoice as it is now.
    pub(crate) fn emit_invoice(&mut self, kind: &str, id: &str) -> Result<(), Fault> {
        let shown = self.invoice_json(&self.invoice(id)?);
        self.emit(kind, shown);
        Ok(())
    }

    /// Emits an event with a subscription as it is now.
    pub(crate) fn emit_subscription(&mut self, kind: &str, id: &str) -> Result<(), Fault> {
        let shown = self.subscription_json(&self.subscription(id)?);
        self.emit(kind, shown);
        Ok(())
    }
}

/// What members had before, for those that differ. Lists are told whole, objects by their members.
fn difference(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return (before != after).then(|| before.clone());
    };
    let mut previous = Map::new();
    for (name, was) in before {
        match (was, after.get(name)) {
            (_, Some(is)) if is == was => {}
            (Value::Object(_), Some(is @ Value::Object(_))) => {
                previous.extend(difference(was, is).map(|inner| (name.clone(), inner)));
            }
            _ => {
                previous.insert(name.clone(), was.clone());
            }
        }
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        previous.insert(name.clone(), Value::Null);
    }
    (!previous.is_empty()).then_some(Value::Object(previous))
}
