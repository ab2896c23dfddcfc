//! What events tell people: each notice under a key that names the object and the transition, so that a second event
//! about the same thing tells nothing, and events that come late or in another order tell the same.

use jiff::Timestamp;
use serde_json::Value;
use tenantry_domain::money::Money;
use tenantry_domain::plan::Plan;
use tenantry_stripe::FromJson as _;
use tenantry_stripe::invoice_lines::InvoiceLine;
use tenantry_stripe::invoices::Invoice;
use tenantry_stripe::subscriptions::{Subscription, SubscriptionStatus};
use uuid::Uuid;

use super::Stripe;
use super::error::SyncError;
use super::plans::{KnownPrices, PriceNames as _};
use crate::notices::data::{self, Data, PlanName, Span};
use crate::notices::{self, Notice};
use crate::storage::stripe::events::EventRow;
use crate::storage::stripe::prices;
use crate::storage::{StoreError, Tx, subscriptions};

/// Raises what an event has to tell; nothing where it is of a kind that tells nothing, or cannot be read.
pub(super) async fn tell(
    tx: &Tx,
    stripe: &Stripe,
    tenant: Uuid,
    event: &EventRow,
    now: Timestamp,
) -> Result<(), SyncError> {
    let object = event.payload.pointer("/data/object").unwrap_or(&Value::Null);
    let told = match event.kind.as_str() {
        "invoice.payment_failed" => payment_failed(stripe, event, object)?,
        "customer.subscription.trial_will_end"
        | "customer.subscription.created"
        | "customer.subscription.updated"
        | "customer.subscription.deleted" => {
            let names = KnownPrices::of(prices::all(tx).await?);
            let subscription = match Subscription::from_json(object) {
                Ok(subscription) => subscription,
                Err(error) => {
                    let (event, version) = (&event.id, event.payload["api_version"].as_str());
                    tracing::warn!(event, version, %error, "an event that cannot be read tells nobody anything");
                    return Ok(());
                }
            };
            let before = event.payload.pointer("/data/previous_attributes").unwrap_or(&Value::Null);
            let of = Of { tx, names: &names, subscription: &subscription, before, event };
            of.tell().await?
        }
        _ => Vec::new(),
    };
    for notice in told {
        notices::raise(tx, &stripe.env, now, tenant, &notice).await?;
    }
    Ok(())
}

/// An event about a subscription.
struct Of<'a> {
    tx: &'a Tx,
    names: &'a KnownPrices,
    subscription: &'a Subscription,
    before: &'a Value,
    event: &'a EventRow,
}

impl Of<'_> {
    async fn tell(&self) -> Result<Vec<Notice>, SyncError> {
        let item = self.subscription.items.data.iter().find(|item| self.names.plan_of(&item.price).is_some());
        let Some((item, choice)) = item.and_then(|item| Some((item, self.names.plan_of(&item.price)?))) else {
            return Ok(Vec::new());
        };
        let Some(plan) = self.plan_name(&choice.plan_id).await? else { return Ok(Vec::new()) };
        let id = &self.subscription.id;
        let mut told = Vec::new();
        match self.event.kind.as_str() {
            "customer.subscription.trial_will_end" => {
                if let Some(trial_end) = self.subscription.trial_end {
                    let quantity = item.quantity.unwrap_or(1);
                    let amount = money(item.price.unit_amount.unwrap_or(0) * quantity, item.price.currency.as_deref());
                    let data = data::TrialEnding { plan, trial_end, amount };
                    told.push(Notice::new(format!("{id} {trial_end}"), data));
                }
            }
            "customer.subscription.deleted" => {
                if let (Some(now_on), Some(ended_at)) = (self.default_name().await?, self.subscription.ended_at) {
                    told.push(Notice::new(id.clone(), data::SubscriptionCanceled { plan, now_on, ended_at }));
                }
            }
            _ => {
                told.extend(self.change(&plan, &item.price.id).await?);
                let ends_at = self.subscription.cancel_at.or_else(|| {
                    let end = self.subscription.period_of(item).map(|period| period.1);
                    end.filter(|_| self.subscription.cancel_at_period_end)
                });
                if let Some(ends_at) = ends_at.filter(|_| !self.subscription.status.is_terminal()) {
                    told.push(Notice::new(format!("{id} {ends_at}"), data::CancellationScheduled { plan, ends_at }));
                }
            }
        }
        Ok(told)
    }

    /// The first plan, or another one.
    async fn change(&self, to: &PlanName, price: &str) -> Result<Option<Notice>, SyncError> {
        let id = &self.subscription.id;
        let lives = matches!(self.subscription.status, SubscriptionStatus::Active | SubscriptionStatus::Trialing);
        let was_incomplete = self.before.get("status").and_then(Value::as_str) == Some("incomplete");
        let told = |from, key| {
            let data = data::PlanChanged {
                from,
                to: to.clone(),
                effective_at: self.event.created_at,
                charged: None,
                period: None,
            };
            Notice::new(key, data)
        };
        if lives && (self.event.kind.ends_with(".created") || was_incomplete) {
            return Ok(self.default_name().await?.map(|from| told(from, format!("{id} started"))));
        }
        let before = self.before.pointer("/items/data").and_then(Value::as_array);
        let before = before.and_then(|items| {
            items.iter().find_map(|item| {
                let id = item.pointer("/price/id")?.as_str()?;
                Some((id, self.names.plan_of_id(id)?))
            })
        });
        let Some((price_before, choice_before)) = before.filter(|(before, _)| *before != price) else {
            return Ok(None);
        };
        let Some(from) = self.plan_name(&choice_before.plan_id).await? else { return Ok(None) };
        if from.id == to.id {
            return Ok(None);
        }
        Ok(Some(told(from, format!("{id} {price_before} {price} {}", self.event.created_at))))
    }

    async fn plan_name(&self, id: &str) -> Result<Option<PlanName>, SyncError> {
        let Some((_, definition)) = subscriptions::version_now(self.tx, id).await? else { return Ok(None) };
        let plan: Plan =
            serde_json::from_value(definition).map_err(|error| StoreError::corrupt("definition of a plan", error))?;
        Ok(Some(PlanName { id: id.to_owned(), name: plan.name }))
    }

    async fn default_name(&self) -> Result<Option<PlanName>, SyncError> {
        match subscriptions::default_plan(self.tx).await? {
            Some((id, _)) => self.plan_name(&id).await,
            None => Ok(None),
        }
    }
}

fn payment_failed(stripe: &Stripe, event: &EventRow, object: &Value) -> Result<Vec<Notice>, SyncError> {
    let Ok(invoice) = Invoice::from_json(object) else { return Ok(Vec::new()) };
    // The grace counts from the first attempt, which follows at once when the invoice is asked for.
    let asked_at = invoice.status_transitions.as_ref().and_then(|at| at.finalized_at).unwrap_or(event.created_at);
    let access_until = asked_at.saturating_add(stripe.settings.payment_grace).ok();
    let told = data::PaymentFailed {
        amount: amount(invoice.amount_due, &invoice)?,
        period: period(&invoice),
        invoice_number: invoice.number.clone(),
        invoice_url: invoice.hosted_invoice_url.clone(),
        next_attempt_at: invoice.next_payment_attempt,
        access_until: access_until.filter(|until| invoice.subscription_id().is_some() && *until > event.created_at),
    };
    Ok(vec![Notice::new(format!("{} {}", invoice.id, invoice.attempt_count.unwrap_or(0)), told)])
}

/// An invoice was paid, in whichever way: by card, or out of band.
pub(super) fn payment_succeeded(invoice: &Invoice) -> Result<Data, SyncError> {
    let told = data::PaymentSucceeded {
        amount: amount(invoice.amount_paid, invoice)?,
        period: period(invoice),
        invoice_number: invoice.number.clone(),
        invoice_url: invoice.hosted_invoice_url.clone(),
    };
    Ok(told.into())
}

pub(super) fn tax_location_missing(invoice: &Invoice) -> Result<Data, SyncError> {
    let told = data::TaxLocationMissing {
        amount: amount(invoice.total_excluding_tax.unwrap_or(invoice.total), invoice)?,
        period: period(invoice),
        invoice_number: invoice.number.clone(),
    };
    Ok(told.into())
}

fn money(minor: i64, currency: Option<&str>) -> Option<Money> {
    Some(Money { minor, currency: currency?.parse().ok()? })
}

fn amount(minor: i64, invoice: &Invoice) -> Result<Money, SyncError> {
    money(minor, Some(&invoice.currency))
        .ok_or_else(|| SyncError::Confused(format!("{} is no currency", invoice.currency)))
}

/// What an invoice bills: the span of its lines; the invoice's own period is the one before.
fn period(invoice: &Invoice) -> Span {
    let times: Vec<(Timestamp, Timestamp)> = invoice.lines.data.iter().filter_map(InvoiceLine::times).collect();
    let start = times.iter().map(|times| times.0).min().or(invoice.period_start);
    let end = times.iter().map(|times| times.1).max().or(invoice.period_end);
    let fallback = invoice.created.unwrap_or(Timestamp::UNIX_EPOCH);
    Span { start: start.unwrap_or(fallback), end: end.unwrap_or(fallback) }
}
