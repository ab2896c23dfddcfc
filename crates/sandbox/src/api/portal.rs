//! The billing portal: configurations and sessions.

use super::list::page;
use super::{Call, Route, get, post};
use crate::engine::Work;
use crate::fault::{Answer, Fault};
use crate::http::{
    Args, METADATA, ONE, PAGE, Param, anything, boolean, object, objects, one_of, text, texts, unsupported,
};
use crate::model::{Metadata, PortalConfiguration, PortalSession};

const PRORATION: Param = one_of("proration_behavior", &["always_invoice", "create_prorations", "none"]);
const ENABLED: &[Param] = &[boolean("enabled").required()];
const FEATURES: &[Param] = &[
    object("customer_update", &[texts("allowed_updates"), boolean("enabled")]),
    object("invoice_history", ENABLED),
    object("payment_method_update", ENABLED),
    object(
        "subscription_cancel",
        &[
            anything("cancellation_reason"),
            boolean("enabled"),
            one_of("mode", &["at_period_end", "immediately"]),
            PRORATION,
        ],
    ),
    object(
        "subscription_update",
        &[
            texts("default_allowed_updates"),
            boolean("enabled"),
            objects(
                "products",
                &[text("product").required(), texts("prices").required(), anything("adjustable_quantity")],
            ),
            PRORATION,
            unsupported("schedule_at_period_end"),
            one_of("trial_update_behavior", &["continue_trial", "end_trial"]),
            one_of("billing_cycle_anchor", &["now", "unchanged"]),
        ],
    ),
];
const CONFIGURATION: &[Param] = &[
    object("business_profile", &[text("headline"), text("privacy_policy_url"), text("terms_of_service_url")]),
    text("default_return_url"),
    object("login_page", ENABLED),
    METADATA,
    text("name"),
    boolean("active"),
];
const CREATE: &[Param] = &[object("features", FEATURES).required()];
const UPDATE: &[Param] = &[object("features", FEATURES)];
const SESSION: &[Param] =
    &[text("configuration"), text("customer").required(), anything("flow_data"), text("locale"), text("return_url")];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/billing_portal/configurations", &[CONFIGURATION, CREATE, ONE], create),
    get("/v1/billing_portal/configurations", &[&[boolean("active"), boolean("is_default")], PAGE], list),
    get("/v1/billing_portal/configurations/:id", &[ONE], retrieve),
    post("/v1/billing_portal/configurations/:id", &[CONFIGURATION, UPDATE, ONE], update),
    post("/v1/billing_portal/sessions", &[SESSION, ONE], session),
];

/// A configuration that allows nothing yet.
fn blank(work: &mut Work) -> PortalConfiguration {
    PortalConfiguration {
        id: work.long_id("bpc_"),
        created: work.now,
        updated: work.now,
        active: true,
        is_default: work.state.portal_configurations.len() == 0,
        name: None,
        headline: None,
        privacy_policy_url: None,
        terms_of_service_url: None,
        default_return_url: None,
        metadata: Metadata::new(),
        customer_update: false,
        allowed_updates: Vec::new(),
        invoice_history: false,
        payment_method_update: false,
        cancel: false,
        cancel_mode: "at_period_end".to_owned(),
        cancel_proration: "none".to_owned(),
        switch: false,
        switch_updates: Vec::new(),
        switch_proration: "none".to_owned(),
        products: Vec::new(),
    }
}

fn create(work: &mut Work, call: &Call) -> Answer {
    let mut configuration = blank(work);
    apply(work, &mut configuration, &call.args)?;
    let shown = work.portal_configuration_json(&configuration);
    work.state.portal_configurations.put(configuration);
    work.emit("billing_portal.configuration.created", shown.clone());
    Ok(shown)
}

fn apply(work: &Work, configuration: &mut PortalConfiguration, args: &Args) -> Result<(), Fault> {
    let profile = args.object("business_profile");
    profile.put_text("headline", &mut configuration.headline);
    profile.put_text("privacy_policy_url", &mut configuration.privacy_policy_url);
    profile.put_text("terms_of_service_url", &mut configuration.terms_of_service_url);
    args.put_text("default_return_url", &mut configuration.default_return_url);
    args.put_text("name", &mut configuration.name);
    args.put_metadata(&mut configuration.metadata);
    configuration.active = args.boolean("active").unwrap_or(configuration.active);
    let features = args.object("features");
    let enable = |name: &str, into: &mut bool| *into = features.object(name).boolean("enabled").unwrap_or(*into);
    enable("customer_update", &mut configuration.customer_update);
    enable("invoice_history", &mut configuration.invoice_history);
    enable("payment_method_update", &mut configuration.payment_method_update);
    enable("subscription_cancel", &mut configuration.cancel);
    enable("subscription_update", &mut configuration.switch);
    let choose = |args: &Args, name: &str, into: &mut String| {
        if let Some(chosen) = args.text(name) {
            chosen.clone_into(into);
        }
    };
    let cancel = features.object("subscription_cancel");
    choose(&cancel, "mode", &mut configuration.cancel_mode);
    choose(&cancel, "proration_behavior", &mut configuration.cancel_proration);
    let switch = features.object("subscription_update");
    choose(&switch, "proration_behavior", &mut configuration.switch_proration);
    if switch.has("default_allowed_updates") {
        configuration.switch_updates = switch.texts("default_allowed_updates");
    }
    if features.object("customer_update").has("allowed_updates") {
        configuration.allowed_updates = features.object("customer_update").texts("allowed_updates");
    }
    if switch.has("products") {
        configuration.products = products(work, &switch)?;
    }
    Ok(())
}

fn products(work: &Work, switch: &Args) -> Result<Vec<(String, Vec<String>)>, Fault> {
    let mut products = Vec::new();
    for (position, entry) in switch.objects("products").iter().enumerate() {
        let within = format!("features[subscription_update][products][{position}]");
        let product = entry.text("product").unwrap_or_default();
        Work::named(&work.state.products, product, &format!("{within}[product]"))?;
        let prices = entry.texts("prices");
        for (place, price) in prices.iter().enumerate() {
            let name = format!("{within}[prices][{place}]");
            if Work::named(&work.state.prices, price, &name)?.product != product {
                let message = format!("The price {price} does not belong to the product {product}.");
                return Err(Fault::invalid(message).param(name));
            }
        }
        products.push((product.to_owned(), prices));
    }
    Ok(products)
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let wants = |name: &str, is: bool| call.args.boolean(name).is_none_or(|wanted| wanted == is);
    let rows = (work.state.portal_configurations.iter().rev())
        .filter(|row| wants("active", row.active) && wants("is_default", row.is_default));
    page(call, "/v1/billing_portal/configurations", rows, |row| work.portal_configuration_json(row))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.portal_configuration_json(Work::find(&work.state.portal_configurations, call.id(0))?))
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let mut configuration = Work::find(&work.state.portal_configurations, call.id(0))?.clone();
    let before = work.portal_configuration_json(&configuration);
    apply(work, &mut configuration, &call.args)?;
    configuration.updated = work.now;
    let after = work.portal_configuration_json(&configuration);
    work.state.portal_configurations.put(configuration);
    work.emit_change("billing_portal.configuration.updated", &before, after.clone());
    Ok(after)
}

fn session(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let customer = work.customer(args.text("customer").unwrap_or_default(), "customer")?.id.clone();
    let configuration = match args.text("configuration") {
        Some(id) => Work::named(&work.state.portal_configurations, id, "configuration")?.clone(),
        None => default_configuration(work),
    };
    let session = PortalSession {
        id: work.long_id("bps_"),
        created: work.now,
        customer,
        configuration: configuration.id,
        return_url: args.owned("return_url").or(configuration.default_return_url),
        locale: args.owned("locale"),
        flow: args.raw("flow_data"),
        page: work.id("test_", 40),
    };
    let shown = work.portal_session_json(&session);
    work.state.portal_sessions.put(session);
    work.emit("billing_portal.session.created", shown.clone());
    Ok(shown)
}

/// The default configuration; one that allows the usual is made when there is none.
fn default_configuration(work: &mut Work) -> PortalConfiguration {
    if let Some(found) = work.state.portal_configurations.iter().find(|row| row.is_default) {
        return found.clone();
    }
    let usual = PortalConfiguration {
        invoice_history: true,
        payment_method_update: true,
        cancel: true,
        customer_update: true,
        allowed_updates: vec!["address".to_owned(), "tax_id".to_owned()],
        is_default: true,
        ..blank(work)
    };
    work.state.portal_configurations.put(usual.clone());
    usual
}
