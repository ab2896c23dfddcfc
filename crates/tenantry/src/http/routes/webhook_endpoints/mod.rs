//! Webhook endpoints of a tenant, and what was sent to them.

pub mod create;
pub mod delete;
pub mod deliveries;
pub mod get;
pub mod list;
pub mod patch;
pub mod replay;
pub mod rotate_secret;
pub mod test;

use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::caller::{ManageBilling, Permitted};
use crate::http::problem::Problem;
use crate::http::words::EventType;
use crate::notices::kind::Kind;
use crate::notices::webhooks::endpoints::{On, WithSecret};
use crate::storage::notices::deliveries::DeliveryRow;
use crate::storage::notices::endpoints::EndpointRow;

/// A webhook endpoint, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: Uuid,
    /// Where webhooks are posted.
    #[schema(example = "https://acme.example/hooks")]
    pub url: String,
    /// For people.
    #[schema(example = "ledger")]
    pub description: String,
    /// What it is told of; an empty list: everything.
    #[schema(value_type = Vec<EventType>, example = json!(["payment.failed"]))]
    pub event_types: Vec<String>,
    /// Whether anything is sent to it.
    pub enabled: bool,
    /// Why nothing is: `by_hand`, `failing` or `gone`.
    #[schema(example = json!(null))]
    pub disabled_reason: Option<String>,
    /// First failure after the last success.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub failing_since: Option<jiff::Timestamp>,
    /// Until when the secret before the present one signs too.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub previous_secret_expires_at: Option<jiff::Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: jiff::Timestamp,
}

impl From<EndpointRow> for WebhookEndpoint {
    fn from(row: EndpointRow) -> Self {
        Self {
            id: row.id,
            url: row.url,
            description: row.description,
            event_types: row.kinds.iter().map(|kind| event_type(kind)).collect(),
            enabled: row.state == "enabled",
            disabled_reason: row.disabled_reason,
            failing_since: row.failing_since,
            previous_secret_expires_at: row.previous_expires_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// One endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEndpointBody {
    /// The endpoint.
    pub webhook_endpoint: WebhookEndpoint,
}

impl From<EndpointRow> for WebhookEndpointBody {
    fn from(row: EndpointRow) -> Self {
        Self { webhook_endpoint: row.into() }
    }
}

/// An endpoint with its secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEndpointWithSecret {
    /// The endpoint.
    pub webhook_endpoint: WebhookEndpoint,
    /// What signs its webhooks. Not there when the request is replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_...")]
    pub secret: Option<String>,
    /// On a replay: the secret was shown before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_shown: Option<bool>,
}

impl WebhookEndpointWithSecret {
    /// What the first answer shows.
    fn shown(made: WithSecret) -> Self {
        let secret = Some(made.secret.expose_secret().to_owned());
        Self { webhook_endpoint: made.row.into(), secret, secret_shown: None }
    }

    /// What is kept of it for a repeated request.
    fn hidden(made: &WithSecret) -> Self {
        Self { webhook_endpoint: made.row.clone().into(), secret: None, secret_shown: Some(true) }
    }
}

/// A notice on its way to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDelivery {
    /// Its id.
    pub id: Uuid,
    /// The notice; `webhook-id` is made from it.
    pub notification_id: Uuid,
    /// The `type` that is sent.
    #[schema(example = "payment.failed")]
    pub event_type: String,
    /// `pending`, `succeeded`, `failed` (another attempt follows) or `dead` (none does).
    #[schema(example = "succeeded")]
    pub state: String,
    /// Requests begun, counted anew after a replay.
    #[schema(example = 1)]
    pub attempts: i32,
    /// When the next one is due.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_at: Option<jiff::Timestamp>,
    /// HTTP status of the last answer.
    #[schema(example = 200)]
    pub last_status: Option<i32>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// How the last answer's body begins.
    pub response_snippet: Option<String>,
    /// When the notice was handed out.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When it succeeded, or was given up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<jiff::Timestamp>,
}

impl From<DeliveryRow> for WebhookDelivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            id: row.id,
            notification_id: row.notification_id,
            event_type: event_type(&row.kind),
            state: row.state,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            last_status: row.last_status,
            last_error: row.last_error,
            response_snippet: row.response_snippet,
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

/// One delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDeliveryBody {
    /// The delivery.
    pub webhook_delivery: WebhookDelivery,
}

impl From<DeliveryRow> for WebhookDeliveryBody {
    fn from(row: DeliveryRow) -> Self {
        Self { webhook_delivery: row.into() }
    }
}

/// The `type` of a stored kind; of one that a newer version wrote, the stored name.
pub fn event_type(kind: &str) -> String {
    Kind::parse(kind).map_or_else(|| kind.to_owned(), |kind| kind.event_type().to_owned())
}

/// Reads the types that an endpoint asks for.
fn kinds(event_types: &[String]) -> Result<Vec<Kind>, Problem> {
    let read = |(index, text): (usize, &String)| {
        Kind::of_event_type(text).ok_or_else(|| {
            let known: Vec<&str> =
                Kind::ALL.iter().filter(|kind| **kind != Kind::Test).map(|kind| kind.event_type()).collect();
            Problem::invalid(format!("eventTypes[{index}]"), format!("must be one of {}", known.join(", ")))
        })
    };
    event_types.iter().enumerate().map(read).collect()
}

fn on(permitted: &Permitted<ManageBilling>) -> On {
    On { actor: permitted.caller.actor, tenant_id: permitted.tenant_id }
}
