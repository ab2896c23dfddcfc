//! `/_sandbox/…`: what [`crate::Control`] does, over HTTP. Open to whoever can reach the port, as the pages are: the
//! sandbox holds nothing real.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, extract::rejection::JsonRejection};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::Shared;
use crate::control::{Control, ControlError};
use crate::settings::WebhookTarget;
use crate::switches::{DunningEnd, FaultRule, Switches};

type Body<T> = Result<Json<T>, JsonRejection>;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/clock", get(clock))
        .route("/clock/advance", post(advance))
        .route("/webhook", post(set_webhook))
        .route("/switches", get(switches).post(set_switches))
        .route("/deliver", post(deliver))
        .route("/deliveries", get(deliveries))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/dunning", post(set_dunning))
        .route("/events", post(emit))
        .route("/sessions/pay", post(pay_session))
        .route("/state", get(state))
}

fn refused(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

fn body<T>(body: Body<T>) -> Result<T, Box<Response>> {
    body.map(|Json(body)| body).map_err(|error| Box::new(refused(StatusCode::BAD_REQUEST, &error.body_text())))
}

fn answer<T: Serialize>(result: Result<T, ControlError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => refused(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    }
}

async fn clock(State(shared): State<Arc<Shared>>) -> Response {
    Json(Control::new(shared).clock()).into_response()
}

/// One of `seconds` and `to`. With `deliver` the events of each step are delivered before the next one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: Option<i64>,
    to: Option<Timestamp>,
    #[serde(default)]
    deliver: bool,
}

async fn advance(State(shared): State<Arc<Shared>>, sent: Body<Advance>) -> Response {
    let sent = match body(sent) {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let control = Control::new(shared);
    let to = match (sent.seconds, sent.to) {
        (None, Some(to)) => to,
        (Some(seconds), None) => {
            let now = control.clock().now;
            match now.checked_add(jiff::SignedDuration::from_secs(seconds)) {
                Ok(to) => to,
                Err(_) => return answer::<()>(Err(ControlError::TooFar)),
            }
        }
        _ => return refused(StatusCode::BAD_REQUEST, "send one of `seconds` and `to`"),
    };
    let moved = if sent.deliver { control.advance_delivering(to).await } else { control.advance_to(to).await };
    answer(moved)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhook {
    url: Option<String>,
    #[serde(default)]
    secrets: Vec<SecretString>,
}

async fn set_webhook(State(shared): State<Arc<Shared>>, sent: Body<Webhook>) -> Response {
    let sent = match body(sent) {
        Ok(sent) => sent,
        Err(response) => return *response,
    };
    let target = sent.url.map(|url| WebhookTarget { url, secrets: sent.secrets });
    Control::new(shared).set_webhook(target).await;
    Json(json!({})).into_response()
}

async fn switches(State(shared): State<Arc<Shared>>) -> Response {
    Json(Control::new(shared).switches()).into_response()
}

async fn set_switches(State(shared): State<Arc<Shared>>, sent: Body<Switches>) -> Response {
    match body(sent) {
        Ok(switches) => {
            let control = Control::new(shared);
            control.set_switches(switches);
            Json(control.switches()).into_response()
        }
        Err(response) => *response,
    }
}

async fn deliver(State(shared): State<Arc<Shared>>) -> Response {
    Json(Control::new(shared).deliver().await).into_response()
}

async fn deliveries(State(shared): State<Arc<Shared>>) -> Response {
    Json(Control::new(shared).deliveries()).into_response()
}

async fn faults(State(shared): State<Arc<Shared>>) -> Response {
    Json(Control::new(shared).faults()).into_response()
}

async fn add_fault(State(shared): State<Arc<Shared>>, sent: Body<FaultRule>) -> Response {
    match body(sent) {
        Ok(fault) => {
            let control = Control::new(shared);
            control.add_fault(fault);
            Json(control.faults()).into_response()
        }
        Err(response) => *response,
    }
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> Response {
    Control::new(shared).clear_faults();
    Json(json!([])).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dunning {
    end: DunningEnd,
}

async fn set_dunning(State(shared): State<Arc<Shared>>, sent: Body<Dunning>) -> Response {
    match body(sent) {
        Ok(sent) => {
            Control::new(shared).set_dunning_end(sent.end).await;
            Json(json!({ "end": sent.end })).into_response()
        }
        Err(response) => *response,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Emit {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

async fn emit(State(shared): State<Arc<Shared>>, sent: Body<Emit>) -> Response {
    match body(sent) {
        Ok(sent) => {
            Control::new(shared).emit(&sent.kind, sent.object).await;
            Json(json!({})).into_response()
        }
        Err(response) => *response,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaySession {
    session: String,
    card: String,
}

async fn pay_session(State(shared): State<Arc<Shared>>, sent: Body<PaySession>) -> Response {
    match body(sent) {
        Ok(sent) => answer(Control::new(shared).pay_session(&sent.session, &sent.card).await.map(|()| json!({}))),
        Err(response) => *response,
    }
}

async fn state(State(shared): State<Arc<Shared>>) -> Response {
    Json(Control::new(shared).dump()).into_response()
}
