//! What has to be done, decided without asking anybody.

use tenantry_domain::money::Money;
use tenantry_domain::plan::{Catalog, Plan};
use tenantry_stripe::prices::{Price, UsageType};
use tenantry_stripe::products::Product;

use super::{Action, Change, INTERVALS, lookup_key, product_id};
use crate::storage::stripe::prices::PriceRow;

/// What Stripe has of a plan.
pub(super) struct AtStripe {
    pub(super) product: Option<Product>,
    /// The prices that have one of its lookup keys.
    pub(super) prices: Vec<Price>,
}

/// A price as the catalog wants it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) plan: &'a Plan,
    pub(super) interval: &'static str,
    pub(super) amount: Money,
}

impl Wanted<'_> {
    /// Whether this is the price: it can be bought, and what it costs and how often cannot change any more.
    pub(super) fn is_met_by(&self, price: &Price) -> bool {
        let every = price.recurring.as_ref();
        price.active
            && !price.deleted
            && price.unit_amount == Some(self.amount.minor)
            && price.currency.as_deref() == Some(self.amount.currency.to_string().as_str())
            && every.is_some_and(|every| {
                every.interval.as_str() == self.interval
                    && every.interval_count.unwrap_or(1) == 1
                    && every.usage_type.as_ref().is_none_or(|usage| *usage == UsageType::Licensed)
            })
            && price.product.as_ref().is_some_and(|product| product.id() == product_id(self.plan.id.as_str()))
    }

    /// Whether this is what is noted of it.
    pub(super) fn is_met_by_row(&self, row: &PriceRow) -> bool {
        row.interval == self.interval
            && row.unit_amount == self.amount.minor
            && row.currency == self.amount.currency.to_string()
    }

    /// The row that notes a price of Stripe's for it.
    pub(super) fn row(&self, price_id: &str) -> PriceRow {
        PriceRow {
            price_id: price_id.to_owned(),
            product_id: product_id(self.plan.id.as_str()),
            plan_id: self.plan.id.to_string(),
            interval: self.interval.to_owned(),
            currency: self.amount.currency.to_string(),
            unit_amount: self.amount.minor,
        }
    }
}

/// One thing to do.
#[derive(Debug)]
pub(super) enum Step<'a> {
    MakeProduct(&'a Plan),
    /// With what is different.
    UpdateProduct(&'a Plan, String),
    /// Instead of the price of this id, where there is one, and why.
    MakePrice(Wanted<'a>, Option<(String, String)>),
    /// The price of this id.
    NotePrice(Wanted<'a>, String),
}

impl Step<'_> {
    /// What is told of it.
    pub(super) fn change(&self) -> Change {
        match self {
            Self::MakeProduct(plan) => of_product(plan.id.as_str(), Action::MakeProduct, plan.name.clone()),
            Self::UpdateProduct(plan, detail) => of_product(plan.id.as_str(), Action::UpdateProduct, detail.clone()),
            Self::MakePrice(wanted, None) => of_price(wanted, Action::MakePrice, None, ""),
            Self::MakePrice(wanted, Some((old, why))) => {
                of_price(wanted, Action::ReplacePrice, None, &format!(", instead of {old}, {why}"))
            }
            Self::NotePrice(wanted, id) => of_price(wanted, Action::NotePrice, Some(id.clone()), ""),
        }
    }
}

/// What is told of a product.
pub(super) fn of_product(plan: &str, action: Action, detail: String) -> Change {
    Change { plan_id: plan.to_owned(), metric: None, interval: None, action, id: Some(product_id(plan)), detail }
}

fn of_price(wanted: &Wanted<'_>, action: Action, id: Option<String>, more: &str) -> Change {
    let seat = if wanted.plan.per_seat { " and seat" } else { "" };
    let detail = format!("{} a {}{seat}{more}", wanted.amount, wanted.interval);
    Change { plan_id: wanted.plan.id.to_string(), metric: None, interval: Some(wanted.interval), action, id, detail }
}

/// The prices that a plan has in the catalog.
pub(super) fn wanted(plan: &Plan) -> impl Iterator<Item = Wanted<'_>> {
    let amounts = plan.prices.map(|prices| [(prices.month, prices.currency), (prices.year, prices.currency)]);
    INTERVALS.into_iter().zip(amounts.into_iter().flatten()).filter_map(move |(interval, (minor, currency))| {
        Some(Wanted { plan, interval, amount: Money { minor: minor?, currency } })
    })
}

/// What a plan lacks at Stripe and in the database, in the order in which it has to be done.
pub(super) fn plan<'a>(plan: &'a Plan, found: &AtStripe, known: &[PriceRow]) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    match &found.product {
        None => steps.push(Step::MakeProduct(plan)),
        Some(product) => {
            let mut differs = Vec::new();
            if product.name.as_deref() != Some(plan.name.as_str()) {
                differs.push(format!("{} becomes {}", product.name.as_deref().unwrap_or("without name"), plan.name));
            }
            if !product.active {
                differs.push("sold again".to_owned());
            }
            if !differs.is_empty() {
                steps.push(Step::UpdateProduct(plan, differs.join(", ")));
            }
        }
    }
    for wanted in wanted(plan) {
        let key = lookup_key(plan.id.as_str(), wanted.interval);
        let mut candidates = found.prices.iter().filter(|price| price.lookup_key.as_deref() == Some(key.as_str()));
        match candidates.next() {
            Some(price) if wanted.is_met_by(price) => {
                let row = wanted.row(&price.id);
                if !known.contains(&row) {
                    steps.push(Step::NotePrice(wanted, row.price_id));
                }
            }
            Some(price) => steps.push(Step::MakePrice(wanted, Some((price.id.clone(), why_not(&wanted, price))))),
            None => steps.push(Step::MakePrice(wanted, None)),
        }
    }
    steps
}

/// Why a price is not the one that is wanted, for people.
fn why_not(wanted: &Wanted<'_>, price: &Price) -> String {
    let currency = price.currency.as_deref().unwrap_or_default();
    match price.unit_amount {
        _ if !price.active => "which was archived".to_owned(),
        Some(minor) if currency != wanted.amount.currency.to_string() || minor != wanted.amount.minor => {
            let parsed = currency.parse().map(|currency| Money { minor, currency }.to_string());
            format!("which costs {}", parsed.unwrap_or_else(|_| format!("{minor} {currency}")))
        }
        _ => "which is of another kind".to_owned(),
    }
}

/// What is noted as sold and is in the catalog no more.
pub(super) fn left<'k>(catalog: &Catalog, known: &'k [PriceRow]) -> Vec<&'k PriceRow> {
    let is_sold = |row: &PriceRow| {
        catalog.plan(&row.plan_id).is_some_and(|plan| wanted(plan).any(|wanted| wanted.interval == row.interval))
    };
    known.iter().filter(|row| !is_sold(row)).collect()
}
