//! Buying a plan on Stripe's page: one customer, at most one open session.

use serde_json::{Value, json};
use tenantry_domain::plan::Plan;
use tenantry_stripe::checkout_sessions::{
    AutoOrNever, BillingAddressCollection, Create, CustomerUpdate, Expire, LineItem, List, Mode, SessionStatus,
    SubscriptionData, TaxIdCollection,
};
use tenantry_stripe::customers;
use tenantry_stripe::shared::{AutomaticTaxParameters, BillingModeKind, BillingModeParameters, Metadata};

use super::{Operation, StepError, Trouble, key, price, seats};
use crate::storage::stripe::customers as customer_rows;
use crate::storage::stripe::prices::PriceRow;
use crate::storage::tenants::TenantRow;
use crate::storage::{StoreError, subscriptions, tenants, users};
use crate::stripe_sync::metered::{WantedItem, wanted};
use crate::stripe_sync::{Stripe, digest, sync};
use crate::write_tx;

pub(super) async fn run(
    stripe: &Stripe,
    operation: &Operation,
    plan: (&str, &str),
    trial_days: u32,
) -> Result<Value, StepError> {
    let price = price(stripe, plan).await?;
    let buyer = Buyer::read(stripe, operation, plan).await?;
    let customer = customer(stripe, operation, &buyer).await?;
    let open = reuse_or_expire(stripe, operation, &customer, &price, buyer.seats).await?;
    // What could not be ended may have been paid a moment ago.
    sync::sync_tenant(stripe, operation.tenant_id).await?;
    match super::link(stripe, operation.tenant_id).await {
        Ok(_) => {
            return Err(StepError::Refused(Trouble::new("already_subscribed", "the tenant pays for a plan by now")));
        }
        Err(StepError::Refused(_)) => {}
        Err(later) => return Err(later),
    }
    if let Some(open) = open {
        return Ok(open);
    }
    let request = session(stripe, operation, &buyer, &customer, &price, trial_days);
    // What may differ from one try to the next is in the key.
    let mut step = format!("session-{}-{}", price.price_id, buyer.seats);
    if !buyer.metered.is_empty() {
        step = format!("{step}-{}", digest(&format!("{:?}", buyer.metered)));
    }
    let session = stripe.client.post(&request.borrow(), &key(operation, &step)?).await?;
    let Some(url) = session.url else {
        return Err(StepError::Refused(Trouble::new("stripe_refused", "Stripe made a checkout without a page")));
    };
    Ok(json!({ "url": url, "sessionId": session.id }))
}

/// What is known of who buys.
struct Buyer {
    tenant: TenantRow,
    email: Option<String>,
    seats: u64,
    /// What charges overage by a meter from the first day on.
    metered: Vec<WantedItem>,
}

impl Buyer {
    async fn read(stripe: &Stripe, operation: &Operation, (plan, interval): (&str, &str)) -> Result<Self, StepError> {
        let tenant_id = operation.tenant_id;
        let tx = stripe.db.read_as_service("buyer", &[tenant_id]).await?;
        let tenant = tenants::get(&tx, tenant_id).await?;
        let Some(tenant) = tenant else {
            return Err(StepError::Refused(Trouble::new("not_found", "the tenant is gone")));
        };
        let billing = tenant.settings.get("billing_email").and_then(Value::as_str).map(str::to_owned);
        let email = match billing {
            Some(email) => Some(email),
            None => users::email(&tx, operation.user_id.unwrap_or(tenant.owner_id)).await?,
        };
        let metered = match subscriptions::version_now(&tx, plan).await? {
            Some((_, definition)) => {
                let plan: Plan = serde_json::from_value(definition)
                    .map_err(|error| StoreError::corrupt("definition of a plan", error))?;
                wanted(&tx, &stripe.settings, &plan, interval).await?
            }
            None => Vec::new(),
        };
        tx.rollback().await?;
        let seats = seats::needed(stripe, tenant_id, plan).await?;
        Ok(Self { tenant, email, seats, metered })
    }

    fn notes(&self) -> Metadata {
        [
            ("tenant_id".to_owned(), self.tenant.id.to_string()),
            ("tenant_type".to_owned(), self.tenant.kind.clone()),
            ("owner_id".to_owned(), self.tenant.owner_id.to_string()),
        ]
        .into()
    }
}

/// The tenant's customer, made if there is none. Noted before anything is bought for it.
async fn customer(stripe: &Stripe, operation: &Operation, buyer: &Buyer) -> Result<String, StepError> {
    if let Some(known) = sync::customer_of(stripe, operation.tenant_id).await? {
        return Ok(known);
    }
    let request = customers::Create {
        email: buyer.email.as_deref(),
        name: Some(&buyer.tenant.name),
        metadata: buyer.notes(),
        ..customers::Create::default()
    };
    let made = stripe.client.post(&request, &key(operation, "customer")?).await?;
    let (tenant, now) = (operation.tenant_id, stripe.env.clock.now());
    let noted: Result<_, StoreError> = write_tx!(stripe.db, "note_customer", &[tenant], |tx| {
        customer_rows::insert(tx, tenant, &made.id, now).await?;
        customer_rows::of_tenant(tx, tenant).await
    });
    noted?
        .ok_or_else(|| StepError::Refused(Trouble::new("conflict", "Stripe gave a customer that is another tenant's")))
}

/// An open session for the same price is used again; others are ended, so that nobody pays twice.
async fn reuse_or_expire(
    stripe: &Stripe,
    operation: &Operation,
    customer: &str,
    price: &PriceRow,
    seats: u64,
) -> Result<Option<Value>, StepError> {
    let open =
        List { customer: Some(customer), status: Some(SessionStatus::Open), limit: Some(100), ..List::default() };
    let mut reused = None;
    for session in stripe.client.all(&open).await? {
        let is_same = session.metadata.get("price_id") == Some(&price.price_id)
            && session.metadata.get("seats") == Some(&seats.to_string());
        match &session.url {
            Some(url) if is_same && reused.is_none() => reused = Some(json!({ "url": url, "sessionId": session.id })),
            _ => {
                let expire = Expire { id: &session.id, expand: Vec::new() };
                match stripe.client.post(&expire, &key(operation, &format!("expire-{}", session.id))?).await {
                    Ok(_) => {}
                    // It was completed, or is over by itself, since the list was read.
                    Err(error) if !error.is_retryable_later() => {
                        tracing::info!(session = session.id, %error, "an open checkout could not be ended");
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(reused)
}

/// A session with the texts that it borrows.
struct Session<'a> {
    success_url: String,
    cancel_url: String,
    reference: String,
    notes: Metadata,
    plan_notes: Metadata,
    stripe: &'a Stripe,
    customer: &'a str,
    price: &'a PriceRow,
    seats: u64,
    metered: &'a [WantedItem],
    trial_days: u32,
}

fn session<'a>(
    stripe: &'a Stripe,
    operation: &Operation,
    buyer: &'a Buyer,
    customer: &'a str,
    price: &'a PriceRow,
    trial_days: u32,
) -> Session<'a> {
    let app = &stripe.settings.app_url;
    let mut plan_notes = buyer.notes();
    plan_notes.insert("plan_id".to_owned(), price.plan_id.clone());
    let mut notes = plan_notes.clone();
    notes.insert("price_id".to_owned(), price.price_id.clone());
    notes.insert("seats".to_owned(), buyer.seats.to_string());
    if let Some(user) = operation.user_id {
        notes.insert("user_id".to_owned(), user.to_string());
    }
    Session {
        success_url: format!("{app}/billing?success=true"),
        cancel_url: format!("{app}/billing?canceled=true"),
        reference: operation.tenant_id.to_string(),
        notes,
        plan_notes,
        stripe,
        customer,
        price,
        seats: buyer.seats,
        metered: &buyer.metered,
        trial_days,
    }
}

impl Session<'_> {
    fn borrow(&self) -> Create<'_> {
        let settings = &self.stripe.settings;
        let plan = LineItem { price: Some(&self.price.price_id), quantity: Some(self.seats), ..LineItem::default() };
        let metered = self.metered.iter().map(|item| LineItem { price: Some(&item.price_id), ..LineItem::default() });
        let auto = |wanted: bool| wanted.then_some(AutoOrNever::Auto);
        Create {
            mode: Some(Mode::Subscription),
            line_items: std::iter::once(plan).chain(metered).collect(),
            customer: Some(self.customer),
            customer_update: Some(CustomerUpdate {
                address: auto(settings.automatic_tax || settings.collect_address),
                name: auto(settings.collect_tax_ids),
            })
            .filter(|update| update.address.is_some() || update.name.is_some()),
            client_reference_id: Some(&self.reference),
            success_url: Some(&self.success_url),
            cancel_url: Some(&self.cancel_url),
            automatic_tax: settings.automatic_tax.then_some(AutomaticTaxParameters { enabled: true }),
            tax_id_collection: settings.collect_tax_ids.then_some(TaxIdCollection { enabled: true }),
            billing_address_collection: settings.collect_address.then_some(BillingAddressCollection::Required),
            subscription_data: Some(SubscriptionData {
                billing_mode: Some(BillingModeParameters { kind: BillingModeKind::Flexible }),
                metadata: self.plan_notes.clone(),
                trial_period_days: (self.trial_days > 0).then_some(self.trial_days),
                ..SubscriptionData::default()
            }),
            metadata: self.notes.clone(),
            ..Create::default()
        }
    }
}
