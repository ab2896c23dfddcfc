//! Stripe's page where invoices are seen and payment methods changed. Changes nothing of ours: called directly.

use tenantry_stripe::portal::{
    CancelMode, CreateConfiguration, CreateSession, CustomerUpdateFeature, Feature, Features, SubscriptionCancelFeature,
};
use tenantry_stripe::{StripeError, portal};
use uuid::Uuid;

use crate::stripe_sync::error::SyncError;
use crate::stripe_sync::{Stripe, sync};

/// Name of the note by which our configuration is found again.
const NOTE: &str = "tenantry";

/// Makes a visit; its address, which is valid for some minutes. None where the tenant has no customer.
pub async fn visit(stripe: &Stripe, tenant: Uuid) -> Result<Option<String>, SyncError> {
    let Some(customer) = sync::customer_of(stripe, tenant).await? else { return Ok(None) };
    let configuration = configuration(stripe).await?;
    let return_url = format!("{}/billing", stripe.settings.app_url);
    let request = CreateSession {
        customer: &customer,
        configuration: Some(&configuration),
        return_url: Some(&return_url),
        locale: None,
        flow_data: None,
        expand: Vec::new(),
    };
    // A visit of one's own each time: nothing is kept of it.
    let key = stripe.fresh_key("visit")?;
    Ok(Some(stripe.client.post(&request, &key).await?.url))
}

/// Our configuration, made if there is none: plans are changed here, not there, so that both tell the same story.
async fn configuration(stripe: &Stripe) -> Result<String, StripeError> {
    let list = portal::ListConfigurations { active: Some(true), limit: Some(100), ..Default::default() };
    let known = stripe.client.all(&list).await?;
    if let Some(found) = known.into_iter().find(|found| found.metadata.contains_key(NOTE)) {
        return Ok(found.id);
    }
    let request = CreateConfiguration {
        features: Features {
            customer_update: Some(CustomerUpdateFeature {
                enabled: true,
                allowed_updates: vec!["address", "name", "tax_id"],
            }),
            invoice_history: Some(Feature { enabled: true }),
            payment_method_update: Some(Feature { enabled: true }),
            subscription_cancel: Some(SubscriptionCancelFeature {
                enabled: true,
                mode: Some(CancelMode::AtPeriodEnd),
                proration_behavior: None,
            }),
            subscription_update: None,
        },
        metadata: [(NOTE.to_owned(), "1".to_owned())].into(),
        ..CreateConfiguration::default()
    };
    let key = stripe.fresh_key("portal")?;
    Ok(stripe.client.post(&request, &key).await?.id)
}
