use tenantry_stripe::checkout_sessions::{
    AdjustableQuantity, AutoOrNever, BillingAddressCollection, CustomerUpdate, LineItem, MissingPaymentMethod, Mode,
    PaymentMethodCollection, SessionStatus, SubscriptionData, TaxIdCollection, TrialEndBehavior, TrialSettings,
};
use tenantry_stripe::customers::{InvoiceSettingsParameters, TaxParameters};
use tenantry_stripe::portal::{
    BusinessProfile, CancelMode, CustomerUpdateFeature, Feature, Features, FlowData, FlowKind, FlowSubscription,
    PortalProduct, SubscriptionCancelFeature, SubscriptionUpdateFeature,
};
use tenantry_stripe::shared::ProrationBehavior;
use tenantry_stripe::{checkout_sessions, customers, payment_methods, portal};

use super::{Judge, address, discounts, flexible, metadata, range, tax, time};

pub(super) async fn judge(judge: &mut Judge) {
    customer(judge).await;
    checkout(judge).await;
    configurations(judge).await;
    visits(judge).await;
}

async fn customer(judge: &mut Judge) {
    let settings = InvoiceSettingsParameters { default_payment_method: Some("pm_1"), footer: Some("Thanks") };
    let tax = TaxParameters { ip_address: Some("127.0.0.1"), validate_location: Some("immediately") };
    let create = customers::Create {
        email: Some("a@example.com"),
        name: Some("Acme"),
        description: Some("words"),
        phone: Some("1"),
        address: Some(address()),
        invoice_settings: Some(settings.clone()),
        payment_method: Some("pm_1"),
        preferred_locales: vec!["de", "en"],
        tax: Some(tax.clone()),
        tax_exempt: Some("none"),
        metadata: metadata(),
        test_clock: Some("clock_1"),
        expand: vec!["tax"],
    };
    judge.post(&create, "customer").await;
    let update = customers::Update {
        id: "cus_1",
        email: Some("a@example.com"),
        name: Some("Acme"),
        description: Some("words"),
        phone: Some("1"),
        address: Some(address()),
        invoice_settings: Some(settings),
        preferred_locales: vec!["de", "en"],
        tax: Some(tax),
        tax_exempt: Some("reverse"),
        metadata: metadata(),
        expand: vec!["tax"],
    };
    judge.post(&update, "customer").await;
    judge.get(&customers::Retrieve { id: "cus_1", expand: vec!["tax"] }, "customer").await;
    judge.get(&customers::Retrieve { id: "cus_1", expand: vec!["tax"] }, "deleted_customer").await;
    let list = customers::List {
        email: Some("a@example.com"),
        created: Some(range()),
        limit: Some(100),
        starting_after: Some("cus_1"),
        ending_before: Some("cus_2"),
        expand: vec!["data.tax"],
    };
    judge.get(&list, "customer").await;
    let methods = payment_methods::List {
        customer: "cus_1",
        kind: Some("card"),
        limit: Some(100),
        starting_after: Some("pm_1"),
        ending_before: Some("pm_2"),
        expand: vec!["data.customer"],
    };
    judge.get(&methods, "payment_method").await;
    let attach = payment_methods::Attach { id: "pm_1", customer: "cus_1", expand: vec!["customer"] };
    judge.post(&attach, "payment_method").await;
}

async fn checkout(judge: &mut Judge) {
    let create = checkout_sessions::Create {
        mode: Some(Mode::Subscription),
        line_items: vec![LineItem {
            price: Some("price_1"),
            quantity: Some(3),
            adjustable_quantity: Some(AdjustableQuantity { enabled: true, maximum: Some(9), minimum: Some(1) }),
            tax_rates: vec!["txr_1"],
        }],
        customer: Some("cus_1"),
        customer_email: Some("a@example.com"),
        customer_update: Some(CustomerUpdate { address: Some(AutoOrNever::Auto), name: Some(AutoOrNever::Never) }),
        client_reference_id: Some("t_1"),
        success_url: Some("https://app.example/billing?success=true&session={CHECKOUT_SESSION_ID}"),
        cancel_url: Some("https://app.example/billing?canceled=true"),
        currency: Some("usd"),
        expires_at: Some(time()),
        locale: Some("auto"),
        allow_promotion_codes: Some(true),
        discounts: discounts(),
        automatic_tax: Some(tax()),
        tax_id_collection: Some(TaxIdCollection { enabled: true }),
        billing_address_collection: Some(BillingAddressCollection::Required),
        payment_method_collection: Some(PaymentMethodCollection::IfRequired),
        payment_method_types: vec!["card", "sepa_debit"],
        subscription_data: Some(SubscriptionData {
            billing_mode: Some(flexible()),
            billing_cycle_anchor: Some(time()),
            proration_behavior: Some(ProrationBehavior::None),
            description: Some("words"),
            metadata: metadata(),
            trial_end: Some(time()),
            trial_period_days: Some(14),
            trial_settings: Some(TrialSettings {
                end_behavior: TrialEndBehavior { missing_payment_method: MissingPaymentMethod::Cancel },
            }),
        }),
        metadata: metadata(),
        expand: vec!["subscription"],
    };
    judge.post(&create, "checkout.session").await;
    judge.get(&checkout_sessions::Retrieve { id: "cs_1", expand: vec!["invoice"] }, "checkout.session").await;
    judge.post(&checkout_sessions::Expire { id: "cs_1", expand: vec!["invoice"] }, "checkout.session").await;
    let list = checkout_sessions::List {
        customer: Some("cus_1"),
        subscription: Some("sub_1"),
        status: Some(SessionStatus::Open),
        created: Some(range()),
        limit: Some(100),
        starting_after: Some("cs_1"),
        ending_before: Some("cs_2"),
        expand: vec!["data.invoice"],
    };
    judge.get(&list, "checkout.session").await;
}

fn features() -> Features<'static> {
    Features {
        customer_update: Some(CustomerUpdateFeature { enabled: true, allowed_updates: vec!["address", "tax_id"] }),
        invoice_history: Some(Feature { enabled: true }),
        payment_method_update: Some(Feature { enabled: true }),
        subscription_cancel: Some(SubscriptionCancelFeature {
            enabled: true,
            mode: Some(CancelMode::AtPeriodEnd),
            proration_behavior: Some(ProrationBehavior::None),
        }),
        subscription_update: Some(SubscriptionUpdateFeature {
            enabled: true,
            default_allowed_updates: vec!["price", "quantity"],
            products: vec![PortalProduct { product: "prod_1", prices: vec!["price_1"] }],
            proration_behavior: Some(ProrationBehavior::AlwaysInvoice),
        }),
    }
}

async fn configurations(judge: &mut Judge) {
    let profile = BusinessProfile {
        headline: Some("Acme"),
        privacy_policy_url: Some("https://acme.example/privacy"),
        terms_of_service_url: Some("https://acme.example/terms"),
    };
    let create = portal::CreateConfiguration {
        features: features(),
        business_profile: Some(profile.clone()),
        default_return_url: Some("https://app.example"),
        metadata: metadata(),
        expand: vec!["application"],
    };
    judge.post(&create, "billing_portal.configuration").await;
    let update = portal::UpdateConfiguration {
        id: "bpc_1",
        active: Some(false),
        features: Some(features()),
        business_profile: Some(profile),
        default_return_url: Some(""),
        metadata: metadata(),
        expand: vec!["application"],
    };
    judge.post(&update, "billing_portal.configuration").await;
    let list = portal::ListConfigurations {
        active: Some(true),
        is_default: Some(false),
        limit: Some(100),
        starting_after: Some("bpc_1"),
        ending_before: Some("bpc_2"),
        expand: vec!["data.application"],
    };
    judge.get(&list, "billing_portal.configuration").await;
}

async fn visits(judge: &mut Judge) {
    for kind in [
        FlowKind::PaymentMethodUpdate,
        FlowKind::SubscriptionCancel,
        FlowKind::SubscriptionUpdate,
        FlowKind::SubscriptionUpdateConfirm,
    ] {
        let session = portal::CreateSession {
            customer: "cus_1",
            configuration: Some("bpc_1"),
            return_url: Some("https://app.example/billing"),
            locale: Some("auto"),
            flow_data: Some(FlowData {
                kind,
                subscription_cancel: Some(FlowSubscription { subscription: "sub_1" }),
                subscription_update: Some(FlowSubscription { subscription: "sub_1" }),
            }),
            expand: vec!["configuration"],
        };
        judge.post(&session, "billing_portal.session").await;
    }
}
