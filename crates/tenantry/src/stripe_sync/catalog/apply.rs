//! Doing what was decided: calls first, then a short transaction that notes it.

use tenantry_domain::plan::{Catalog, Plan};
use tenantry_stripe::prices::{self, RecurringParameters, UsageType};
use tenantry_stripe::shared::{Interval, Metadata};
use tenantry_stripe::{IdempotencyKey, StripeError, products};

use super::decide::{Step, Wanted, of_product};
use super::{Action, Change, INTERVALS, PushError, failed, lookup_key, product, product_id};
use crate::storage::StoreError;
use crate::storage::stripe::prices::{self as rows, PriceRow};
use crate::storage::subscriptions::lock_catalog;
use crate::stripe_sync::Stripe;
use crate::write_tx;

/// What one unit of a plan per seat is called on invoices.
const SEAT: &str = "seat";

/// Does one step; what it did.
pub(super) async fn step(stripe: &Stripe, plan: &Plan, step: &Step<'_>) -> Result<Change, PushError> {
    let mut change = step.change();
    match step {
        Step::MakeProduct(_) => make_product(stripe, plan).await?,
        Step::UpdateProduct(..) => update_product(stripe, plan).await?,
        Step::MakePrice(wanted, old) => {
            let old = old.as_ref().map(|(id, _)| id.as_str());
            let id = make_price(stripe, wanted, old).await?;
            note(stripe, &wanted.row(&id)).await?;
            change.id = Some(id);
        }
        Step::NotePrice(wanted, id) => note(stripe, &wanted.row(id)).await?,
    }
    Ok(change)
}

async fn make_product(stripe: &Stripe, plan: &Plan) -> Result<(), PushError> {
    let plan_id = plan.id.as_str();
    let id = product_id(plan_id);
    let request = products::Create {
        id: Some(&id),
        name: &plan.name,
        unit_label: plan.per_seat.then_some(SEAT),
        metadata: metadata(plan_id),
        ..products::Create::default()
    };
    // The id is the guard against a second one. The key is this call's own: a kept answer could be of a product that
    // was deleted since.
    match stripe.client.post(&request, &stripe.fresh_key("catalog")?).await {
        Ok(_) => Ok(()),
        // Somebody was faster: there it is.
        Err(error) if error.code() == Some("resource_already_exists") => {
            product(stripe, plan_id).await?.map(drop).ok_or_else(|| failed(plan_id, error))
        }
        Err(source) => Err(failed(plan_id, source)),
    }
}

async fn update_product(stripe: &Stripe, plan: &Plan) -> Result<(), PushError> {
    let plan_id = plan.id.as_str();
    let id = product_id(plan_id);
    let request = products::Update {
        id: &id,
        name: Some(&plan.name),
        active: Some(true),
        unit_label: plan.per_seat.then_some(SEAT),
        ..products::Update::default()
    };
    // Doing it twice changes nothing; a key that followed from the names would replay an older answer when a name
    // comes back.
    stripe.client.post(&request, &stripe.fresh_key("catalog")?).await.map_err(|source| failed(plan_id, source))?;
    Ok(())
}

/// Makes a price that takes the lookup key. Whoever saw the same price before it makes the same one.
async fn make_price(stripe: &Stripe, wanted: &Wanted<'_>, old: Option<&str>) -> Result<String, PushError> {
    let plan_id = wanted.plan.id.as_str();
    let (product, key) = (product_id(plan_id), lookup_key(plan_id, wanted.interval));
    let currency = wanted.amount.currency.to_string();
    let request = prices::Create {
        currency: &currency,
        product: Some(&product),
        unit_amount: Some(wanted.amount.minor),
        recurring: Some(RecurringParameters {
            interval: Interval::from(wanted.interval),
            interval_count: None,
            meter: None,
            usage_type: Some(UsageType::Licensed),
        }),
        lookup_key: Some(&key),
        transfer_lookup_key: Some(true),
        metadata: metadata(plan_id),
        ..prices::Create::default()
    };
    let operation = format!("{key}-{currency}-{}-after-{}", wanted.amount.minor, old.unwrap_or("none"));
    let failed = |source| failed(plan_id, source);
    match stripe.client.post(&request, &IdempotencyKey::new(operation)?).await {
        // Stripe keeps its own failures too: under this key it would be the same one for a day.
        Ok(_) | Err(StripeError::Server(_)) => {}
        Err(source) => return Err(failed(source)),
    }
    // What counts is who has the lookup key now. A kept answer may be of a price that was archived since, or that
    // another amount followed; a failure may have come after the price was made.
    let found = find(stripe, &key).await.map_err(failed)?;
    if let Some(price) = found.into_iter().find(|price| wanted.is_met_by(price)) {
        return Ok(price.id);
    }
    let made = stripe.client.post(&request, &stripe.fresh_key("catalog")?).await.map_err(failed)?;
    if wanted.is_met_by(&made) { Ok(made.id) } else { Err(PushError::WrongPrice(made.id)) }
}

async fn find(stripe: &Stripe, key: &str) -> Result<Vec<prices::Price>, StripeError> {
    let request = prices::List { lookup_keys: vec![key], ..prices::List::default() };
    Ok(stripe.client.get(&request).await?.data)
}

/// Ends the sale of a price whose plan or interval left the catalog, or (dry) says that it would.
pub(super) async fn leave(
    stripe: &Stripe,
    row: &PriceRow,
    catalog: &Catalog,
    is_dry: bool,
) -> Result<Vec<Change>, PushError> {
    let mut changes = Vec::new();
    let is_plan_sold = catalog.plan(&row.plan_id).is_some_and(|plan| plan.prices.is_some());
    if !is_plan_sold && product(stripe, &row.plan_id).await?.is_some_and(|product| product.active) {
        if !is_dry {
            let id = product_id(&row.plan_id);
            let request = products::Update { id: &id, active: Some(false), ..products::Update::default() };
            let archived = stripe.client.post(&request, &stripe.fresh_key("catalog")?).await;
            archived.map_err(|source| failed(&row.plan_id, source))?;
        }
        changes.push(of_product(&row.plan_id, Action::ArchiveProduct, "its prices stay for who pays them".to_owned()));
    }
    if !is_dry {
        write_tx!(stripe.db, "withdraw_stripe_price", &[], |tx| {
            lock_catalog(tx).await?;
            rows::withdraw(tx, &row.price_id).await
        })?;
    }
    changes.push(Change {
        plan_id: row.plan_id.clone(),
        metric: None,
        interval: INTERVALS.into_iter().find(|interval| *interval == row.interval),
        action: Action::WithdrawPrice,
        id: Some(row.price_id.clone()),
        detail: "stays for who pays it".to_owned(),
    });
    Ok(changes)
}

/// Notes which price is sold. Two at once stand in line, so that a plan and interval never has two.
async fn note(stripe: &Stripe, row: &PriceRow) -> Result<(), StoreError> {
    let now = stripe.env.clock.now();
    write_tx!(stripe.db, "note_stripe_price", &[], |tx| {
        lock_catalog(tx).await?;
        rows::put(tx, row, now).await
    })
}

fn metadata(plan: &str) -> Metadata {
    Metadata::from([("plan_id".to_owned(), plan.to_owned())])
}
