//! The endpoints: their parameter tables and what they do. One file for each resource.

mod account;
mod cards;
mod customers;
mod endpoints;
mod events;
mod invoice_items;
mod invoice_payments;
mod invoices;
mod list;
mod meters;
mod payment_intents;
mod payment_methods;
mod portal;
mod prices;
mod products;
mod schedules;
mod sessions;
mod subscription_items;
mod subscription_params;
mod subscriptions;
mod tax_ids;

pub(crate) use cards::{CardInput, card_of};

use crate::engine::Work;
use crate::fault::{Answer, Fault};
use crate::http::{Args, Tables};

/// An endpoint.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// Parts that begin with `:` are ids.
    pub(crate) path: &'static str,
    pub(crate) params: Tables,
    pub(crate) run: fn(&mut Work, &Call) -> Answer,
}

/// A checked request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) args: Args,
    pub(crate) ids: Vec<String>,
}

impl Call {
    /// The n-th id of the path.
    pub(crate) fn id(&self, position: usize) -> &str {
        self.ids.get(position).map_or("", String::as_str)
    }
}

const fn get(path: &'static str, params: Tables, run: fn(&mut Work, &Call) -> Answer) -> Route {
    Route { method: "GET", path, params, run }
}

const fn post(path: &'static str, params: Tables, run: fn(&mut Work, &Call) -> Answer) -> Route {
    Route { method: "POST", path, params, run }
}

const fn delete(path: &'static str, params: Tables, run: fn(&mut Work, &Call) -> Answer) -> Route {
    Route { method: "DELETE", path, params, run }
}

const ALL: &[&[Route]] = &[
    account::ROUTES,
    customers::ROUTES,
    tax_ids::ROUTES,
    products::ROUTES,
    prices::ROUTES,
    payment_methods::ROUTES,
    payment_intents::ROUTES,
    sessions::ROUTES,
    subscriptions::ROUTES,
    subscription_items::ROUTES,
    schedules::ROUTES,
    invoices::ROUTES,
    invoice_items::ROUTES,
    invoice_payments::ROUTES,
    portal::ROUTES,
    meters::ROUTES,
    events::ROUTES,
    endpoints::ROUTES,
];

/// Finds an endpoint and the ids in the path. Fixed parts win over ids, since they stand first in the tables.
pub(crate) fn find(method: &str, path: &str) -> Result<(&'static Route, Vec<String>), Fault> {
    let of_method = ALL.iter().copied().flatten().filter(|route| route.method == method);
    let mut found = of_method.filter_map(|route| Some((route, matches(route.path, path)?)));
    found.next().ok_or_else(|| Fault::unknown_route(method, path))
}

fn matches(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut ids = Vec::new();
    let mut parts = path.strip_suffix('/').unwrap_or(path).split('/');
    for wanted in pattern.split('/') {
        let part = parts.next()?;
        if wanted.starts_with(':') && !part.is_empty() {
            ids.push(part.to_owned());
        } else if wanted != part {
            return None;
        }
    }
    parts.next().is_none().then_some(ids)
}
