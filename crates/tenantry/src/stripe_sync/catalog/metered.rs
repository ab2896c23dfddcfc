//! Overage at Stripe's meters: for each metric a meter and a product, for each plan and metric a metered price by the
//! month over the units above what is included.

use std::collections::BTreeMap;

use tenantry_domain::money::Currency;
use tenantry_domain::plan::{Catalog, OverageTerms, Plan};
use tenantry_stripe::meters::{self, Aggregation, CustomerMapping, Formula, Meter, MeterStatus, ValueSettings};
use tenantry_stripe::prices::{self, Price, RecurringParameters, UsageType};
use tenantry_stripe::shared::{Interval, Metadata};
use tenantry_stripe::{IdempotencyKey, StripeError, products};

use super::express::Expressed;
use super::{Action, Change, PushError, failed, product_of};
use crate::storage::StoreError;
use crate::storage::stripe::meter_prices::{self as rows, MeterPriceRow};
use crate::storage::subscriptions::lock_catalog;
use crate::stripe_sync::{OverageBilling, Stripe, digest};
use crate::write_tx;

/// Names of events begin with it.
const EVENT: &str = "tenantry_overage_";
/// Ids of metrics' products begin with it: never one of a plan's, since no plan's begins like this.
const PRODUCT: &str = "tenantry-metric-";
/// Lookup keys begin with it: never one that could be read as a plan's.
const KEY: &str = "tenantry-overage:";
/// The member of an event's payload that has the customer.
pub const CUSTOMER: &str = "stripe_customer_id";
/// The member of an event's payload that has the quantity.
pub const VALUE: &str = "value";
/// Lookup keys that Stripe takes in one request.
const KEYS_AT_ONCE: usize = 10;
/// The only interval: usage is billed by the month.
pub const INTERVAL: &str = "month";

/// The name of a metric's events.
pub fn event_name(metric: &str) -> String {
    format!("{EVENT}{metric}")
}

/// The metric of a product, by its id; none where it is not a metric's.
pub fn metric_of_product(product: &str) -> Option<&str> {
    product.strip_prefix(PRODUCT).filter(|metric| !metric.is_empty())
}

/// The metric whose overage a price charges; none where it is none of these.
pub fn metric_of(price: &Price) -> Option<&str> {
    let is_metered = price.recurring.as_ref().is_some_and(|every| every.usage_type == Some(UsageType::Metered));
    price.product.as_ref().filter(|_| is_metered).and_then(|product| metric_of_product(product.id()))
}

fn lookup_key(plan: &str, metric: &str) -> String {
    format!("{KEY}{plan}:{metric}")
}

fn product_id(metric: &str) -> String {
    format!("{PRODUCT}{metric}")
}

/// Metrics of a plan that have overage, with the currency that it is charged in; none where no month of it is sold.
pub fn overage_of(plan: &Plan) -> impl Iterator<Item = (&str, &OverageTerms, Currency)> {
    let currency = plan.prices.filter(|prices| prices.month.is_some()).map(|prices| prices.currency);
    plan.metrics.iter().filter_map(move |(metric, terms)| Some((metric.as_str(), terms.overage.as_ref()?, currency?)))
}

/// What the catalog wants of Stripe's meters.
pub(super) struct Wanted<'a>(Vec<WantedPrice<'a>>);

/// A metered price as the catalog wants it.
struct WantedPrice<'a> {
    plan: &'a str,
    metric: &'a str,
    currency: Currency,
    terms: &'a OverageTerms,
    expressed: Expressed,
}

/// What Stripe has of a metric: its meter, where there is one by now.
struct Metric {
    meter: Option<String>,
}

/// Stripe takes 20 recurring items in a checkout, and the plan's own price is one of them.
const MOST_METERED: usize = 19;

impl<'a> Wanted<'a> {
    /// What is wanted; nothing where overage is billed by items. Refuses terms that have no words at Stripe.
    pub(super) fn of(stripe: &Stripe, catalog: &'a Catalog) -> Result<Self, PushError> {
        if stripe.settings.overage_billing == OverageBilling::Items {
            return Ok(Self(Vec::new()));
        }
        let mut wanted = Vec::new();
        for plan in catalog.plans() {
            let plan_id = plan.id.as_str();
            for (place, (metric, terms, currency)) in overage_of(plan).enumerate() {
                let plan = plan_id;
                let inexpressible =
                    |reason| PushError::Inexpressible { plan: plan.to_owned(), metric: metric.to_owned(), reason };
                if place >= MOST_METERED {
                    return Err(inexpressible(format!(
                        "a checkout has room for {MOST_METERED} metered prices of a plan"
                    )));
                }
                let expressed = Expressed::of(terms).map_err(inexpressible)?;
                wanted.push(WantedPrice { plan, metric, currency, terms, expressed });
            }
        }
        Ok(Self(wanted))
    }

    /// Brings Stripe to it, or (dry) says what would be done.
    pub(super) async fn bring(&self, stripe: &Stripe, is_dry: bool) -> Result<Vec<Change>, PushError> {
        let Some(first) = self.0.first() else { return Ok(Vec::new()) };
        let meters = active_meters(stripe, first.plan).await?;
        let mut changes = Vec::new();
        let mut metrics: BTreeMap<&str, Metric> = BTreeMap::new();
        for wanted in &self.0 {
            if !metrics.contains_key(wanted.metric) {
                let meter = wanted.meter(stripe, &meters, is_dry, &mut changes).await?;
                wanted.product(stripe, is_dry, &mut changes).await?;
                metrics.insert(wanted.metric, Metric { meter });
            }
        }
        let known = known(stripe).await?;
        let found = self.found(stripe).await?;
        for wanted in &self.0 {
            let meter = metrics.get(wanted.metric).and_then(|metric| metric.meter.as_deref());
            changes.extend(wanted.price(stripe, meter, &found, &known, is_dry).await?);
        }
        Ok(changes)
    }

    /// The prices that have one of the lookup keys, with their tiers.
    async fn found(&self, stripe: &Stripe) -> Result<Vec<Price>, PushError> {
        let mut found = Vec::new();
        for some in self.0.chunks(KEYS_AT_ONCE) {
            let keys: Vec<String> = some.iter().map(|wanted| lookup_key(wanted.plan, wanted.metric)).collect();
            let request = prices::List {
                lookup_keys: keys.iter().map(String::as_str).collect(),
                limit: Some(100),
                expand: vec!["data.tiers"],
                ..prices::List::default()
            };
            let plan = some.first().map_or("", |wanted| wanted.plan);
            found.extend(stripe.client.all::<Price, _>(&request).await.map_err(|source| failed(plan, source))?);
        }
        Ok(found)
    }
}

async fn active_meters(stripe: &Stripe, plan: &str) -> Result<Vec<Meter>, PushError> {
    let list = meters::List { status: Some(MeterStatus::Active), limit: Some(100), ..meters::List::default() };
    stripe.client.all::<Meter, _>(&list).await.map_err(|source| failed(plan, source))
}

async fn known(stripe: &Stripe) -> Result<Vec<MeterPriceRow>, StoreError> {
    let tx = stripe.db.read_as_service("read_stripe_meter_prices", &[]).await?;
    let known = rows::all_current(&tx).await;
    tx.rollback().await?;
    known
}

/// The meter among those that listens to a metric.
fn listens<'m>(meters: &'m [Meter], metric: &str) -> Option<&'m Meter> {
    let name = event_name(metric);
    meters.iter().find(|meter| meter.event_name == name)
}

impl WantedPrice<'_> {
    fn change(&self, action: Action, id: Option<String>, detail: String) -> Change {
        let interval = matches!(action, Action::MakePrice | Action::ReplacePrice | Action::NotePrice);
        Change {
            plan_id: self.plan.to_owned(),
            metric: Some(self.metric.to_owned()),
            interval: interval.then_some(INTERVAL),
            action,
            id,
            detail,
        }
    }

    /// The metric's meter, made if there is none.
    async fn meter(
        &self,
        stripe: &Stripe,
        meters: &[Meter],
        is_dry: bool,
        changes: &mut Vec<Change>,
    ) -> Result<Option<String>, PushError> {
        if let Some(meter) = listens(meters, self.metric) {
            return Ok(Some(meter.id.clone()));
        }
        let name = event_name(self.metric);
        let detail = format!("counts events {name}");
        if is_dry {
            changes.push(self.change(Action::MakeMeter, None, detail));
            return Ok(None);
        }
        let request = meters::Create {
            display_name: self.metric,
            event_name: &name,
            default_aggregation: Aggregation { formula: Formula::Sum },
            customer_mapping: Some(CustomerMapping { event_payload_key: CUSTOMER, kind: "by_id" }),
            value_settings: Some(ValueSettings { event_payload_key: VALUE }),
            expand: Vec::new(),
        };
        // One active meter has the name: that is the guard against a second one.
        let id = match stripe.client.post(&request, &stripe.fresh_key("catalog")?).await {
            Ok(made) => made.id,
            Err(error @ StripeError::InvalidRequest(_)) => {
                // Somebody was faster, maybe: then there it is.
                let meters = active_meters(stripe, self.plan).await?;
                let found = listens(&meters, self.metric).map(|meter| meter.id.clone());
                found.ok_or_else(|| failed(self.plan, error))?
            }
            Err(source) => return Err(failed(self.plan, source)),
        };
        changes.push(self.change(Action::MakeMeter, Some(id.clone()), detail));
        Ok(Some(id))
    }

    /// The metric's product, made if there is none and sold again if it is not. What it is called there stays.
    async fn product(&self, stripe: &Stripe, is_dry: bool, changes: &mut Vec<Change>) -> Result<(), PushError> {
        let id = product_id(self.metric);
        let failed = |source| failed(self.plan, source);
        let key = || stripe.fresh_key("catalog");
        match product_of(stripe, self.plan, id.clone()).await? {
            Some(product) if product.active => {}
            Some(_) => {
                if !is_dry {
                    let request = products::Update { id: &id, active: Some(true), ..products::Update::default() };
                    stripe.client.post(&request, &key()?).await.map_err(failed)?;
                }
                changes.push(self.change(Action::UpdateProduct, Some(id), "sold again".to_owned()));
            }
            None => {
                if !is_dry {
                    let metadata = Metadata::from([("metric".to_owned(), self.metric.to_owned())]);
                    let request =
                        products::Create { id: Some(&id), name: self.metric, metadata, ..products::Create::default() };
                    match stripe.client.post(&request, &key()?).await {
                        Ok(_) => {}
                        // Somebody was faster: there it is.
                        Err(error) if error.code() == Some("resource_already_exists") => {}
                        Err(source) => return Err(failed(source)),
                    }
                }
                changes.push(self.change(Action::MakeProduct, Some(id), self.metric.to_owned()));
            }
        }
        Ok(())
    }

    /// Whether this is the price: what it charges, how often, and what counts cannot change any more.
    fn is_met_by(&self, price: &Price, meter: Option<&str>) -> bool {
        price.active
            && !price.deleted
            && price.currency.as_deref() == Some(self.currency.to_string().as_str())
            && metric_of(price) == Some(self.metric)
            && price.recurring.as_ref().is_some_and(|every| {
                every.interval.as_str() == INTERVAL
                    && every.interval_count.unwrap_or(1) == 1
                    && every.meter.is_some()
                    && every.meter.as_deref() == meter
            })
            && self.expressed.is_said_by(price)
    }

    fn row(&self, price_id: &str, meter_id: &str) -> Result<MeterPriceRow, StoreError> {
        Ok(MeterPriceRow {
            price_id: price_id.to_owned(),
            product_id: product_id(self.metric),
            meter_id: meter_id.to_owned(),
            plan_id: self.plan.to_owned(),
            metric: self.metric.to_owned(),
            currency: self.currency.to_string(),
            terms: serde_json::to_value(self.terms).map_err(|error| StoreError::corrupt("overage terms", error))?,
        })
    }

    /// Makes, replaces or notes the price; nothing where all is so already.
    async fn price(
        &self,
        stripe: &Stripe,
        meter: Option<&str>,
        found: &[Price],
        known: &[MeterPriceRow],
        is_dry: bool,
    ) -> Result<Option<Change>, PushError> {
        let key = lookup_key(self.plan, self.metric);
        let holder = found.iter().find(|price| price.lookup_key.as_deref() == Some(key.as_str()));
        let words = format!("{} {}", self.currency.to_string().to_ascii_uppercase(), self.expressed.words());
        if let (Some(price), Some(meter)) = (holder.filter(|price| self.is_met_by(price, meter)), meter) {
            let row = self.row(&price.id, meter)?;
            // Also where it was noted in other words.
            let is_noted = |noted: &MeterPriceRow| {
                noted.meter_id == row.meter_id
                    && noted.price_id == row.price_id
                    && says(noted, self.terms, self.currency)
            };
            if known.iter().any(is_noted) {
                return Ok(None);
            }
            if !is_dry {
                note(stripe, &row).await?;
            }
            return Ok(Some(self.change(Action::NotePrice, Some(row.price_id), words)));
        }
        let action = if holder.is_some() { Action::ReplacePrice } else { Action::MakePrice };
        let detail = holder.map_or_else(|| words.clone(), |old| format!("{words}, instead of {}", old.id));
        let Some(meter) = meter.filter(|_| !is_dry) else { return Ok(Some(self.change(action, None, detail))) };
        let id = self.make(stripe, &key, meter, holder.map(|old| old.id.as_str())).await?;
        note(stripe, &self.row(&id, meter)?).await?;
        Ok(Some(self.change(action, Some(id), detail)))
    }

    /// Makes a price that takes the lookup key. Whoever saw the same price before it makes the same one.
    async fn make(&self, stripe: &Stripe, key: &str, meter: &str, old: Option<&str>) -> Result<String, PushError> {
        let failed = |source| failed(self.plan, source);
        let (product, currency, texts) = (product_id(self.metric), self.currency.to_string(), self.expressed.texts());
        let metadata = [("plan_id", self.plan), ("metric", self.metric)];
        let request = prices::Create {
            currency: &currency,
            product: Some(&product),
            recurring: Some(RecurringParameters {
                interval: Interval::from(INTERVAL),
                interval_count: None,
                meter: Some(meter),
                usage_type: Some(UsageType::Metered),
            }),
            lookup_key: Some(key),
            transfer_lookup_key: Some(true),
            metadata: metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..prices::Create::default()
        };
        let request = self.expressed.fill(&texts, request);
        // A metric's name and a plan's may fill most of what a key can hold, and tiers the rest: their digest does not.
        let words = format!("{key} {currency} {meter} {}", self.expressed.words());
        let operation = format!("metered-{}-after-{}", digest(&words), old.unwrap_or("none"));
        match stripe.client.post(&request, &IdempotencyKey::new(operation)?).await {
            // Stripe keeps its own failures too: under this key it would be the same one for a day.
            Ok(_) | Err(StripeError::Server(_)) => {}
            Err(source) => return Err(failed(source)),
        }
        // What counts is who has the lookup key now, as with the prices of plans.
        let list = prices::List { lookup_keys: vec![key], expand: vec!["data.tiers"], ..prices::List::default() };
        let found = stripe.client.get(&list).await.map_err(failed)?.data;
        if let Some(price) = found.into_iter().find(|price| self.is_met_by(price, Some(meter))) {
            return Ok(price.id);
        }
        Ok(stripe.client.post(&request, &stripe.fresh_key("catalog")?).await.map_err(failed)?.id)
    }
}

/// Notes which price is sold. Two at once stand in line, so that a plan and metric never has two.
async fn note(stripe: &Stripe, row: &MeterPriceRow) -> Result<(), StoreError> {
    let now = stripe.env.clock.now();
    write_tx!(stripe.db, "note_stripe_meter_price", &[], |tx| {
        lock_catalog(tx).await?;
        rows::put(tx, row, now).await
    })
}

/// Plans and metrics of the catalog for whose overage no metered price is noted, so that it goes out as invoice items.
/// Asks the database only; nothing where overage is billed by items.
pub async fn missing(stripe: &Stripe, catalog: &Catalog) -> Result<Vec<String>, StoreError> {
    if stripe.settings.overage_billing == OverageBilling::Items {
        return Ok(Vec::new());
    }
    let known = known(stripe).await?;
    let mut missing = Vec::new();
    for plan in catalog.plans() {
        for (metric, terms, currency) in overage_of(plan) {
            let is_noted = known
                .iter()
                .any(|row| row.plan_id == plan.id.as_str() && row.metric == metric && says(row, terms, currency));
            if !is_noted {
                missing.push(format!("{} ({metric})", plan.id));
            }
        }
    }
    Ok(missing)
}

/// Whether a noted price expresses these terms, in whatever words they were noted.
pub fn says(row: &MeterPriceRow, terms: &OverageTerms, currency: Currency) -> bool {
    let noted = serde_json::from_value::<OverageTerms>(row.terms.clone());
    let is_same = |noted: OverageTerms| match (Expressed::of(&noted), Expressed::of(terms)) {
        (Ok(noted), Ok(wanted)) => noted == wanted,
        _ => noted == *terms,
    };
    row.currency == currency.to_string() && noted.is_ok_and(is_same)
}

#[cfg(test)]
mod tests {
    use super::super::parse_lookup_key;
    use super::*;

    #[test]
    fn names_of_metrics_are_never_those_of_plans() {
        for (plan, metric) in [("pro", "tokens"), ("pro", "month"), ("a_b", "x_year"), ("metric-x", "a_month")] {
            assert_eq!(parse_lookup_key(&lookup_key(plan, metric)), None);
            assert_ne!(product_id(metric), super::super::product_id(plan));
            assert_eq!(metric_of_product(&super::super::product_id(plan)), None);
            assert_eq!(metric_of_product(&product_id(metric)), Some(metric));
        }
        assert_eq!(metric_of_product("tenantry-metric-"), None);
        // Stripe takes names of events with at most 100 characters.
        assert!(event_name(&"m".repeat(64)).len() <= 100);
    }
}
