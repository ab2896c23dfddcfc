//! Payments of invoices.

use super::list::{page, same};
use super::{Call, Route, get};
use crate::engine::Work;
use crate::fault::Answer;
use crate::http::{ONE, PAGE, Param, object, one_of, text};
use crate::model::PaymentStatus;

const LIST: &[Param] = &[
    text("invoice"),
    object("payment", &[text("payment_intent"), one_of("type", &["payment_intent", "payment_record"]).required()]),
    one_of("status", &["canceled", "open", "paid"]),
];

pub(super) const ROUTES: &[Route] =
    &[get("/v1/invoice_payments", &[LIST, PAGE], list), get("/v1/invoice_payments/:id", &[ONE], retrieve)];

fn list(work: &mut Work, call: &Call) -> Answer {
    let payment = call.args.object("payment");
    let rows = work.state.invoice_payments.iter().rev().filter(|row| {
        let status = match row.status {
            PaymentStatus::Open => "open",
            PaymentStatus::Paid => "paid",
            PaymentStatus::Canceled => "canceled",
        };
        same(call, "invoice", Some(&row.invoice))
            && same(call, "status", Some(status))
            && payment.text("payment_intent").is_none_or(|intent| row.payment_intent == intent)
    });
    page(call, "/v1/invoice_payments", rows, |payment| work.invoice_payment_json(payment))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.invoice_payment_json(Work::find(&work.state.invoice_payments, call.id(0))?))
}
