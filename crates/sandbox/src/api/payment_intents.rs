//! Payment intents, which invoices make.

use super::list::{created, page, same};
use super::{Call, Route, get};
use crate::engine::Work;
use crate::fault::Answer;
use crate::http::{CREATED, ONE, PAGE, Param, text};

const LIST: &[Param] = &[CREATED, text("customer")];

pub(super) const ROUTES: &[Route] = &[
    get("/v1/payment_intents", &[LIST, PAGE], list),
    get("/v1/payment_intents/:id", &[&[text("client_secret")], ONE], retrieve),
];

fn list(work: &mut Work, call: &Call) -> Answer {
    let rows = (work.state.payment_intents.iter().rev())
        .filter(|intent| same(call, "customer", Some(&intent.customer)) && created(call, intent.created));
    page(call, "/v1/payment_intents", rows, |intent| work.payment_intent_json(intent))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.payment_intent_json(Work::find(&work.state.payment_intents, call.id(0))?))
}
