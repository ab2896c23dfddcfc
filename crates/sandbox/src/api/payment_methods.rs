//! Payment methods: cards.

use super::cards::{CardInput, adopt, card_of};
use super::customers::address_of;
use super::list::page;
use super::{Call, Route, get, post};
use crate::engine::{Work, attach, tokens};
use crate::fault::{Answer, Fault};
use crate::http::{ADDRESS, Args, METADATA, ONE, PAGE, Param, anything, integer, object, one_of, text};
use crate::model::PaymentMethod;

const BILLING: Param =
    object("billing_details", &[ADDRESS, text("email"), text("name"), text("phone"), text("tax_id")]);
const CREATE: &[Param] = &[
    one_of("type", &["card"]).required(),
    object(
        "card",
        &[text("number"), integer("exp_month"), integer("exp_year"), text("cvc"), text("token"), anything("networks")],
    ),
    BILLING,
    METADATA,
    text("allow_redisplay"),
];
const UPDATE: &[Param] = &[
    object("card", &[integer("exp_month"), integer("exp_year"), anything("networks")]),
    BILLING,
    METADATA,
    text("allow_redisplay"),
];
const LIST: &[Param] = &[text("customer"), one_of("type", &["card"])];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/payment_methods", &[CREATE, ONE], create),
    get("/v1/payment_methods", &[LIST, PAGE], list),
    get("/v1/payment_methods/:id", &[ONE], retrieve),
    post("/v1/payment_methods/:id", &[UPDATE, ONE], update),
    post("/v1/payment_methods/:id/attach", &[&[text("customer").required()], ONE], attach_to),
    post("/v1/payment_methods/:id/detach", &[ONE], detach),
    get("/v1/customers/:id/payment_methods", &[&[one_of("type", &["card"])], PAGE], of_customer),
    get("/v1/customers/:id/payment_methods/:id", &[ONE], one_of_customer),
];

fn create(work: &mut Work, call: &Call) -> Answer {
    let card = call.args.object("card");
    let mut method = if let Some(token) = card.text("token") {
        tokens::by_token(token).ok_or_else(|| Fault::missing_param("token", token, "card[token]"))?;
        let id = adopt(work, token, "card[token]")?;
        Work::find(&work.state.payment_methods, &id)?.clone()
    } else {
        numbered(work, &card)?
    };
    apply(&mut method, &call.args);
    let shown = work.payment_method_json(&method);
    work.state.payment_methods.put(method);
    Ok(shown)
}

fn numbered(work: &mut Work, card: &Args) -> Result<PaymentMethod, Fault> {
    let missing = |name: &str| {
        let full = format!("card[{name}]");
        Fault::invalid(format!("Missing required param: {full}.")).code("parameter_missing").param(full)
    };
    let input = CardInput {
        number: card.owned("number").ok_or_else(|| missing("number"))?,
        exp_month: card.integer("exp_month").ok_or_else(|| missing("exp_month"))?,
        exp_year: card.integer("exp_year").ok_or_else(|| missing("exp_year"))?,
        ..CardInput::default()
    };
    card_of(work, input)
}

fn apply(method: &mut PaymentMethod, args: &Args) {
    let billing = args.object("billing_details");
    billing.put_text("email", &mut method.email);
    billing.put_text("name", &mut method.name);
    billing.put_text("phone", &mut method.phone);
    if billing.has("address") {
        method.address = Some(address_of(&billing.object("address")));
    }
    args.put_metadata(&mut method.metadata);
    let card = args.object("card");
    method.card.exp_month = card.integer("exp_month").unwrap_or(method.card.exp_month);
    method.card.exp_year = card.integer("exp_year").unwrap_or(method.card.exp_year);
}

fn of(work: &Work, call: &Call, customer: Option<&str>, url: &str) -> Answer {
    let rows = work.state.payment_methods.iter().rev().filter(|method| {
        method.customer.is_some() && customer.is_none_or(|wanted| method.customer.as_deref() == Some(wanted))
    });
    page(call, url, rows, |method| work.payment_method_json(method))
}

fn list(work: &mut Work, call: &Call) -> Answer {
    of(work, call, call.args.text("customer"), "/v1/payment_methods")
}

fn of_customer(work: &mut Work, call: &Call) -> Answer {
    work.customer(call.id(0), "customer")?;
    of(work, call, Some(call.id(0)), &format!("/v1/customers/{}/payment_methods", call.id(0)))
}

fn one_of_customer(work: &mut Work, call: &Call) -> Answer {
    let method = Work::find(&work.state.payment_methods, call.id(1))?;
    if method.customer.as_deref() != Some(call.id(0)) {
        return Err(Fault::missing("PaymentMethod", call.id(1)));
    }
    Ok(work.payment_method_json(method))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.payment_method_json(Work::find(&work.state.payment_methods, call.id(0))?))
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let mut method = Work::find(&work.state.payment_methods, call.id(0))?.clone();
    let before = work.payment_method_json(&method);
    apply(&mut method, &call.args);
    let after = work.payment_method_json(&method);
    work.state.payment_methods.put(method);
    work.emit_change("payment_method.updated", &before, after.clone());
    Ok(after)
}

fn attach_to(work: &mut Work, call: &Call) -> Answer {
    let customer = call.args.owned("customer").unwrap_or_default();
    work.customer(&customer, "customer")?;
    let method = adopt(work, call.id(0), "payment_method")?;
    attach(work, &method, &customer)?;
    Ok(work.payment_method_json(Work::find(&work.state.payment_methods, &method)?))
}

fn detach(work: &mut Work, call: &Call) -> Answer {
    let method = Work::find(&work.state.payment_methods, call.id(0))?.clone();
    let Some(customer) = &method.customer else {
        let message = "The payment method you provided is not attached to a customer so detachment is impossible.";
        return Err(Fault::invalid(message).code("payment_method_unexpected_state"));
    };
    let before = work.payment_method_json(&method);
    let of_it = |default: &Option<String>| default.as_ref() == Some(&method.id);
    work.state.customers.edit(customer, |customer| {
        if of_it(&customer.default_payment_method) {
            customer.default_payment_method = None;
        }
    });
    let used: Vec<String> = (work.state.subscriptions.iter())
        .filter(|subscription| of_it(&subscription.default_payment_method))
        .map(|subscription| subscription.id.clone())
        .collect();
    for subscription in used {
        work.change_subscription(&subscription, |subscription| subscription.default_payment_method = None)?;
    }
    work.state.payment_methods.edit(&method.id, |method| method.customer = None);
    let after = work.payment_method_json(Work::find(&work.state.payment_methods, &method.id)?);
    work.emit_change("payment_method.detached", &before, after.clone());
    Ok(after)
}
