//! Events.

use super::list::{created, page};
use super::{Call, Route, get};
use crate::engine::Work;
use crate::fault::Answer;
use crate::http::{CREATED, ONE, PAGE, Param, boolean, text, texts};

const LIST: &[Param] = &[CREATED, boolean("delivery_success"), text("type"), texts("types")];

pub(super) const ROUTES: &[Route] = &[get("/v1/events", &[LIST, PAGE], list), get("/v1/events/:id", &[ONE], retrieve)];

fn list(work: &mut Work, call: &Call) -> Answer {
    let types = call.args.texts("types");
    let wanted = call.args.boolean("delivery_success");
    let rows = work.state.events.iter().rev().filter(|event| {
        call.args.text("type").is_none_or(|kind| matches(kind, &event.kind))
            && (types.is_empty() || types.iter().any(|kind| matches(kind, &event.kind)))
            && created(call, event.created)
            // Asked last: it looks at the deliveries.
            && wanted.is_none_or(|wanted| (work.pending_webhooks(&event.id) == 0) == wanted)
    });
    page(call, "/v1/events", rows, |event| work.event_json(event))
}

/// `invoice.*` stands for all events of that kind.
fn matches(wanted: &str, kind: &str) -> bool {
    wanted == kind || wanted.strip_suffix('*').is_some_and(|head| kind.starts_with(head))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    Ok(work.event_json(Work::find(&work.state.events, call.id(0))?))
}
