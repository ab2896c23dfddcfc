//! Checkout sessions, mode `subscription`.

use super::list::{created, page, same};
use super::subscription_params::{BILLING_MODE, billing_mode, missing_method};
use super::{Call, Route, get, post};
use crate::engine::{Work, expire_session};
use crate::fault::{Answer, Fault};
use crate::http::{
    Args, CREATED, METADATA, ONE, PAGE, Param, anything, boolean, integer, object, objects, one_of, text, texts, time,
    unsupported,
};
use crate::model::{LineItem, Session, SessionStatus, SubscriptionData, Time};

const DATA: &[Param] = &[
    BILLING_MODE,
    time("billing_cycle_anchor"),
    text("description"),
    anything("invoice_settings"),
    METADATA,
    one_of("proration_behavior", &["create_prorations", "none"]),
    time("trial_end"),
    integer("trial_period_days"),
    anything("trial_settings"),
    unsupported("default_tax_rates"),
];
const CREATE: &[Param] = &[
    boolean("allow_promotion_codes"),
    object("automatic_tax", &[boolean("enabled").required(), anything("liability")]),
    one_of("billing_address_collection", &["auto", "required"]),
    text("cancel_url"),
    text("client_reference_id"),
    anything("consent_collection"),
    text("currency"),
    text("customer"),
    one_of("customer_creation", &["always", "if_required"]),
    text("customer_email"),
    object(
        "customer_update",
        &[
            one_of("address", &["auto", "never"]),
            one_of("name", &["auto", "never"]),
            one_of("shipping", &["auto", "never"]),
        ],
    ),
    anything("custom_fields"),
    anything("custom_text"),
    unsupported("discounts"),
    integer("expires_at"),
    objects(
        "line_items",
        &[text("price").required(), integer("quantity"), anything("adjustable_quantity"), unsupported("tax_rates")],
    ),
    text("locale"),
    METADATA,
    one_of("mode", &["payment", "setup", "subscription"]).required(),
    one_of("payment_method_collection", &["always", "if_required"]),
    anything("payment_method_options"),
    texts("payment_method_types"),
    anything("phone_number_collection"),
    anything("saved_payment_method_options"),
    one_of("submit_type", &["auto", "book", "donate", "pay", "subscribe"]),
    object("subscription_data", DATA),
    text("success_url"),
    object("tax_id_collection", &[boolean("enabled").required(), one_of("required", &["if_supported", "never"])]),
    one_of("ui_mode", &["hosted", "embedded", "custom"]),
];
const LIST: &[Param] = &[
    CREATED,
    text("customer"),
    object("customer_details", &[text("email").required()]),
    text("payment_intent"),
    one_of("status", &["open", "complete", "expired"]),
    text("subscription"),
];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/checkout/sessions", &[CREATE, ONE], create),
    get("/v1/checkout/sessions", &[LIST, PAGE], list),
    get("/v1/checkout/sessions/:id", &[ONE], retrieve),
    post("/v1/checkout/sessions/:id", &[&[METADATA], ONE], update),
    post("/v1/checkout/sessions/:id/expire", &[ONE], expire),
    get("/v1/checkout/sessions/:id/line_items", &[PAGE], line_items),
];

fn create(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    supported(args)?;
    let line_items = lines(work, args)?;
    let currency = currency(work, &line_items)?;
    let customer = args.text("customer").map(|id| work.customer(id, "customer").map(|found| found.id.clone()));
    let customer = customer.transpose()?;
    let updates = args.object("customer_update");
    let automatic_tax = args.object("automatic_tax").boolean("enabled") == Some(true);
    let collect_tax_id = args.object("tax_id_collection").boolean("enabled") == Some(true);
    check_customer(work, args, customer.as_deref(), automatic_tax, collect_tax_id)?;
    let session = Session {
        id: work.id("cs_test_a1", 56),
        created: work.now,
        expires_at: expires(args, work.now)?,
        status: SessionStatus::Open,
        customer,
        customer_email: args.owned("customer_email"),
        client_reference_id: args.owned("client_reference_id"),
        metadata: args.metadata(),
        currency,
        line_items,
        success_url: args.owned("success_url"),
        cancel_url: args.owned("cancel_url"),
        automatic_tax,
        update_address: updates.is("address", "auto"),
        update_name: updates.is("name", "auto"),
        collect_tax_id,
        address_required: args.is("billing_address_collection", "required"),
        card_if_required: args.is("payment_method_collection", "if_required"),
        allow_promotion_codes: args.boolean("allow_promotion_codes"),
        locale: args.owned("locale"),
        data: data(&args.object("subscription_data"), work.now)?,
        subscription: None,
        invoice: None,
        customer_address: None,
        customer_name: None,
        customer_tax_ids: Vec::new(),
        paid_tax: None,
    };
    let shown = work.session_json(&session);
    work.state.sessions.put(session);
    Ok(shown)
}

fn supported(args: &Args) -> Result<(), Fault> {
    if !args.is("mode", "subscription") {
        return Err(Fault::invalid("The sandbox has Checkout sessions of `mode=subscription` only.").param("mode"));
    }
    if args.text("ui_mode").is_some_and(|mode| mode != "hosted") {
        return Err(Fault::invalid("The sandbox has hosted Checkout pages only.").param("ui_mode"));
    }
    if args.text("success_url").is_none() {
        let message = "Missing required param: success_url.";
        return Err(Fault::invalid(message).code("parameter_missing").param("success_url"));
    }
    for name in ["success_url", "cancel_url"] {
        let absolute = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if args.text(name).is_some_and(|url| !absolute(url)) {
            let message = format!("Not a valid URL: {name} must begin with http:// or https://.");
            return Err(Fault::invalid(message).code("url_invalid").param(name));
        }
    }
    Ok(())
}

fn lines(work: &mut Work, args: &Args) -> Result<Vec<LineItem>, Fault> {
    let mut lines = Vec::new();
    for (position, line) in args.objects("line_items").iter().enumerate() {
        let id = line.text("price").unwrap_or_default();
        let name = format!("line_items[{position}][price]");
        let price = Work::named(&work.state.prices, id, &name)?;
        if !price.active {
            let message = format!("The price specified is inactive. This field only accepts active prices: {id}");
            return Err(Fault::invalid(message).param(name));
        }
        let (metered, price) = (price.metered(), price.id.clone());
        let quantity = line.integer("quantity");
        if !metered && quantity.is_none_or(|quantity| quantity < 1) {
            let name = format!("line_items[{position}][quantity]");
            let message = format!("Quantity is required: {name} must be at least 1.");
            return Err(Fault::invalid(message).code("parameter_missing").param(name));
        }
        if metered && quantity.is_some() {
            let message = "Quantity should not be specified where usage_type is `metered`.";
            return Err(Fault::invalid(message).param(format!("line_items[{position}][quantity]")));
        }
        lines.push(LineItem { id: work.long_id("li_"), price, quantity });
    }
    Ok(lines)
}

fn currency(work: &Work, lines: &[LineItem]) -> Result<String, Fault> {
    let mut recurring = None;
    for line in lines {
        let price = work.price(&line.price)?;
        if price.recurring.is_some() {
            recurring.get_or_insert_with(|| price.currency.clone());
        } else {
            let message = "The sandbox takes recurring prices only in `line_items`.";
            return Err(Fault::invalid(message).param("line_items"));
        }
    }
    let message = "You must provide at least one recurring price in `subscription` mode when using prices.";
    recurring.ok_or_else(|| Fault::invalid(message).param("line_items"))
}

fn check_customer(
    work: &Work,
    args: &Args,
    customer: Option<&str>,
    tax: bool,
    collect_tax_id: bool,
) -> Result<(), Fault> {
    if customer.is_some() && args.has("customer_email") {
        let message = "You may only specify one of these parameters: customer, customer_email.";
        return Err(Fault::invalid(message).param("customer_email"));
    }
    let updates = args.object("customer_update");
    let Some(customer) = customer else {
        if args.has("customer_update") {
            let message = "`customer_update` can only be used with `customer`.";
            return Err(Fault::invalid(message).param("customer_update"));
        }
        return Ok(());
    };
    if collect_tax_id && !updates.is("name", "auto") {
        let message = "Tax ID collection requires updating business name on the customer. To enable tax ID collection \
                       for an existing customer, please set `customer_update[name]` to `auto`.";
        return Err(Fault::invalid(message).param("customer_update[name]"));
    }
    let known = work.customer(customer, "customer")?.country().is_some();
    if tax && !known && !updates.is("address", "auto") {
        let message = "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid \
                       address to the Customer or set either `customer_update[address]` to 'auto' or \
                       `customer_update[shipping]` to 'auto' to save the address entered in Checkout to the Customer.";
        return Err(Fault::invalid(message).code("customer_tax_location_invalid"));
    }
    Ok(())
}

fn expires(args: &Args, now: Time) -> Result<Time, Fault> {
    let Some(at) = args.integer("expires_at") else { return Ok(now + 86_400) };
    if (now + 1800..=now + 86_400).contains(&at) {
        return Ok(at);
    }
    let message = "The `expires_at` timestamp must be at least 30 minutes and less than 24 hours from Checkout Session \
                   creation.";
    Err(Fault::invalid(message).param("expires_at"))
}

fn data(args: &Args, now: Time) -> Result<SubscriptionData, Fault> {
    let trial_days = args.integer("trial_period_days");
    if trial_days.is_some_and(|days| !(1..=730).contains(&days)) {
        let message = "Invalid trial_period_days: must be between 1 and 730.";
        return Err(Fault::invalid(message).param("subscription_data[trial_period_days]"));
    }
    let trial_end = args.integer("trial_end");
    if trial_end.is_some_and(|end| end < now + 172_800) {
        let message = "The `trial_end` date has to be at least 2 days in the future.";
        return Err(Fault::invalid(message).param("subscription_data[trial_end]"));
    }
    Ok(SubscriptionData {
        metadata: args.metadata(),
        description: args.owned("description"),
        trial_days,
        trial_end,
        billing_mode: billing_mode(args),
        missing_payment_method: missing_method(args),
    })
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let email = call.args.object("customer_details");
    let rows = work.state.sessions.iter().rev().filter(|session| {
        same(call, "customer", session.customer.as_deref())
            && same(call, "subscription", session.subscription.as_deref())
            && same(call, "status", Some(session.status.word()))
            && email.text("email").is_none_or(|email| session.customer_email.as_deref() == Some(email))
            && !call.args.has("payment_intent")
            && created(call, session.created)
    });
    page(call, "/v1/checkout/sessions", rows, |session| work.session_json(session))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.session_json(Work::find(&work.state.sessions, call.id(0))?))
}

fn update(work: &mut Work, call: &Call) -> Answer {
    Work::find(&work.state.sessions, call.id(0))?;
    work.state.sessions.edit(call.id(0), |session| call.args.put_metadata(&mut session.metadata));
    retrieve(work, call)
}

fn expire(work: &mut Work, call: &Call) -> Answer {
    Work::find(&work.state.sessions, call.id(0))?;
    expire_session(work, call.id(0))?;
    retrieve(work, call)
}

fn line_items(work: &mut Work, call: &Call) -> Answer {
    Ok(work.line_items_json(Work::find(&work.state.sessions, call.id(0))?))
}
