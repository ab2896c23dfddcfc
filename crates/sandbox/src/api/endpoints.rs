//! Webhook endpoints.

use serde_json::json;

use super::list::page;
use super::{Call, Route, delete, get, post};
use crate::engine::Work;
use crate::fault::{Answer, Fault};
use crate::http::{Args, METADATA, ONE, PAGE, Param, boolean, text, texts};
use crate::model::Endpoint;

const CREATE: &[Param] = &[
    text("api_version"),
    boolean("connect"),
    text("description"),
    texts("enabled_events").required(),
    METADATA,
    text("url").required(),
];
const UPDATE: &[Param] = &[text("description"), boolean("disabled"), texts("enabled_events"), METADATA, text("url")];

pub(super) const ROUTES: &[Route] = &[
    post("/v1/webhook_endpoints", &[CREATE, ONE], create),
    get("/v1/webhook_endpoints", &[PAGE], list),
    get("/v1/webhook_endpoints/:id", &[ONE], retrieve),
    post("/v1/webhook_endpoints/:id", &[UPDATE, ONE], update),
    delete("/v1/webhook_endpoints/:id", &[], remove),
];

fn url(args: &Args) -> Result<Option<String>, Fault> {
    let Some(url) = args.owned("url") else { return Ok(None) };
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(Some(url));
    }
    Err(Fault::invalid("Invalid URL: it must begin with http:// or https://.").code("url_invalid").param("url"))
}

fn create(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let secret = work.id("whsec_", 32);
    let endpoint = Endpoint {
        id: work.long_id("we_"),
        created: work.now,
        url: url(args)?.unwrap_or_default(),
        secrets: vec![secret.clone()],
        enabled_events: args.texts("enabled_events"),
        description: args.owned("description"),
        metadata: args.metadata(),
        disabled: false,
        api_version: args.owned("api_version"),
    };
    let mut shown = work.endpoint_json(&endpoint);
    work.state.endpoints.put(endpoint);
    // Told once, as by Stripe.
    if let Some(members) = shown.as_object_mut() {
        members.insert("secret".to_owned(), secret.into());
    }
    Ok(shown)
}

fn list(work: &mut Work, call: &Call) -> Answer {
    page(call, "/v1/webhook_endpoints", work.state.endpoints.iter().rev(), |endpoint| work.endpoint_json(endpoint))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.endpoint_json(Work::find(&work.state.endpoints, call.id(0))?))
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let args = &call.args;
    let mut endpoint = Work::find(&work.state.endpoints, call.id(0))?.clone();
    endpoint.url = url(args)?.unwrap_or(endpoint.url);
    endpoint.disabled = args.boolean("disabled").unwrap_or(endpoint.disabled);
    args.put_text("description", &mut endpoint.description);
    args.put_metadata(&mut endpoint.metadata);
    if args.has("enabled_events") {
        endpoint.enabled_events = args.texts("enabled_events");
    }
    let shown = work.endpoint_json(&endpoint);
    work.state.endpoints.put(endpoint);
    Ok(shown)
}

fn remove(work: &mut Work, call: &Call) -> Answer {
    let id = Work::find(&work.state.endpoints, call.id(0))?.id.clone();
    work.state.endpoints.remove(&id);
    Ok(json!({ "id": id, "object": "webhook_endpoint", "deleted": true }))
}
