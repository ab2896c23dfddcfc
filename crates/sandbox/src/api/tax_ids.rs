//! Tax ids of customers.

use serde_json::json;

use super::{Call, Route, delete, get, post};
use crate::engine::Work;
use crate::fault::{Answer, Fault};
use crate::http::{ONE, PAGE, Param, text};
use crate::model::TaxId;

const CREATE: &[Param] = &[text("type").required(), text("value").required()];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/customers/:id/tax_ids", &[CREATE, ONE], create),
    get("/v1/customers/:id/tax_ids", &[PAGE], list),
    get("/v1/customers/:id/tax_ids/:id", &[ONE], retrieve),
    delete("/v1/customers/:id/tax_ids/:id", &[], remove),
];

fn create(work: &mut Work, call: &Call) -> Answer {
    let customer = call.id(0);
    work.customer(customer, "customer")?;
    let tax_id = TaxId {
        id: work.long_id("txi_"),
        created: work.now,
        kind: call.args.owned("type").unwrap_or_default(),
        value: call.args.owned("value").unwrap_or_default(),
    };
    let shown = work.tax_id_json(&tax_id, customer);
    work.state.customers.edit(customer, |customer| customer.tax_ids.push(tax_id));
    work.emit("customer.tax_id.created", shown.clone());
    Ok(shown)
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let customer = work.customer(call.id(0), "customer")?;
    let data: Vec<_> = customer.tax_ids.iter().rev().map(|tax_id| work.tax_id_json(tax_id, &customer.id)).collect();
    let url = format!("/v1/customers/{}/tax_ids", customer.id);
    Ok(json!({ "object": "list", "data": data, "has_more": false, "url": url }))
}

fn find(work: &Work, call: &Call) -> Result<TaxId, Fault> {
    let customer = work.customer(call.id(0), "customer")?;
    let found = customer.tax_ids.iter().find(|tax_id| tax_id.id == call.id(1));
    found.cloned().ok_or_else(|| Fault::missing("tax ID", call.id(1)))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.tax_id_json(&find(work, call)?, call.id(0)))
}

fn remove(work: &mut Work, call: &Call) -> Answer {
    let found = find(work, call)?;
    let shown = work.tax_id_json(&found, call.id(0));
    work.state.customers.edit(call.id(0), |customer| customer.tax_ids.retain(|tax_id| tax_id.id != found.id));
    work.emit("customer.tax_id.deleted", shown);
    Ok(json!({ "id": found.id, "object": "tax_id", "deleted": true }))
}
