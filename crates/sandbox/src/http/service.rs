//! One request of the API, from its bytes to its answer. Pure: the state comes in and goes out with the work.

use serde_json::Value;

use super::args::Args;
use super::expand::expand;
use super::form::{Fields, decode};
use super::idempotency::{digest, recall, remember};
use super::params;
use crate::api::{self, Call, Route};
use crate::engine::Work;
use crate::fault::Fault;

/// A request, as far as the API looks at it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Raw {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: String,
    pub(crate) idempotency_key: Option<String>,
    /// The server fails the request after it was executed, and this is the status that is remembered.
    pub(crate) fail_after: Option<u16>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// It was given before.
    pub(crate) replayed: bool,
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Self {
        Self { status: fault.status, body: fault.body(), replayed: false }
    }
}

/// Executes a request. When it fails, nothing of it stays in the state, except what the failure says did happen.
pub(crate) fn answer(work: &mut Work, raw: &Raw) -> Reply {
    let prepared = match prepare(raw) {
        Ok(prepared) => prepared,
        Err(fault) => return fault.into(),
    };
    let key = raw.idempotency_key.as_deref().filter(|_| raw.method == "POST");
    let sent = digest(&raw.method, &raw.path, &prepared.fields);
    if let Some(key) = key {
        match recall(work, key, &sent) {
            Ok(None) => {}
            Ok(Some((status, body))) => return Reply { status, body, replayed: true },
            Err(fault) => return fault.into(),
        }
    }
    // Wrong parameters are not an execution: they leave no trace under the key.
    let args = match params::check(prepared.route.params, prepared.fields) {
        Ok(args) => Args(args),
        Err(fault) => return fault.into(),
    };
    let call = Call { args, ids: prepared.ids };
    let mut reply = execute(work, prepared.route, &call);
    if let Some(status) = raw.fail_after {
        reply = Fault::server(status).into();
    }
    if let Some(key) = key {
        remember(work, key, sent, reply.status, &reply.body);
    }
    reply
}

struct Prepared {
    route: &'static Route,
    ids: Vec<String>,
    fields: Fields,
}

fn prepare(raw: &Raw) -> Result<Prepared, Fault> {
    let (route, ids) = api::find(&raw.method, &raw.path)?;
    let mut fields = decode(&raw.query)?;
    fields.extend(decode(&raw.body)?);
    Ok(Prepared { route, ids, fields })
}

fn execute(work: &mut Work, route: &Route, call: &Call) -> Reply {
    let before = work.state.clone();
    let outcome = (route.run)(work, call).and_then(|mut answer| {
        for path in call.args.texts("expand") {
            expand(work, &mut answer, &path)?;
        }
        Ok(answer)
    });
    match outcome {
        Ok(body) => Reply { status: 200, body, replayed: false },
        Err(fault) => {
            if !fault.keep {
                let drawn = work.state.drawn;
                work.state = before;
                // Ids that were seen in an error are not given out again.
                work.state.drawn = drawn;
            }
            fault.into()
        }
    }
}
