//! Webhooks: signed, sent at least once, retried with growing pauses of real time.

mod later;
mod send;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::RequestInfo;
use crate::model::{Attempt, DeliveryState};
use crate::server::shared::Shared;
use crate::settings::SandboxError;
use send::{Client, Payload};

/// Pauses after the first, second, … attempt. After the last one the event is given up, and stays undelivered.
const PAUSES: [Duration; 8] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(5),
    Duration::from_mins(10),
    Duration::from_mins(10),
];
/// Looks again at least this often.
const IDLE: Duration = Duration::from_secs(5);

/// What sending needs besides the state.
#[derive(Debug)]
pub(crate) struct Sender {
    client: Client,
    /// One at a time, so that what is sent on demand and what is sent anyway do not overlap.
    turn: Mutex<Plan>,
}

/// When deliveries that wait may go out. Forgotten at the end of the process: then they go out at once.
#[derive(Debug, Default)]
struct Plan {
    not_before: HashMap<String, Instant>,
    duplicated: HashSet<String>,
}

impl Sender {
    pub(crate) fn new() -> Result<Self, SandboxError> {
        Ok(Self { client: Client::new()?, turn: Mutex::new(Plan::default()) })
    }
}

/// Sends what is pending until it is stopped.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => return,
            next = round(&shared, false) => next,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.wake.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

/// Sends everything that is pending once, whatever the switches say of pauses and delays, and what comes of it.
pub(crate) async fn deliver_now(shared: &Shared) {
    round(shared, true).await;
}

/// Sends what may go out now, one after the other. Returns when to look again.
async fn round(shared: &Shared, forced: bool) -> Instant {
    let mut plan = shared.sender.turn.lock().await;
    let mut next = Instant::now() + IDLE;
    let mut tried = HashSet::new();
    loop {
        let Some(id) = pick(shared, &mut plan, &tried, forced, &mut next) else { return next };
        tried.insert(id.clone());
        attempt(shared, &mut plan, &id).await;
    }
}

/// The next delivery that may go out.
fn pick(shared: &Shared, plan: &mut Plan, tried: &HashSet<String>, forced: bool, next: &mut Instant) -> Option<String> {
    let mut core = shared.core();
    if core.switches.paused && !forced {
        return None;
    }
    let mut waiting: Vec<String> = (core.state.deliveries.iter())
        .filter(|delivery| delivery.state == DeliveryState::Pending && !tried.contains(&delivery.id))
        .map(|delivery| delivery.id.clone())
        .collect();
    if core.switches.reorder {
        waiting.reverse();
    }
    let delay = Duration::from_millis(core.switches.delay_ms);
    let now = Instant::now();
    for id in waiting {
        if core.switches.drop_next > 0 {
            core.switches.drop_next -= 1;
            core.state.deliveries.edit(&id, |delivery| delivery.state = DeliveryState::Dropped);
            continue;
        }
        let at = *plan.not_before.entry(id.clone()).or_insert(now + delay);
        if forced || at <= now {
            return Some(id);
        }
        *next = (*next).min(at);
    }
    None
}

async fn attempt(shared: &Shared, plan: &mut Plan, id: &str) {
    let Some((payload, duplicate)) = payload(shared, id) else {
        // Its endpoint or its event is gone: nobody waits for it.
        shared.core().state.deliveries.edit(id, |delivery| delivery.state = DeliveryState::Failed);
        return;
    };
    let result = shared.sender.client.send(&payload).await;
    let delivered = result.as_ref().is_ok_and(|status| (200..300).contains(status));
    let at = shared.real_now();
    let mut attempts = 0;
    {
        let mut core = shared.core();
        let sandbox_now = at + core.state.offset;
        core.state.deliveries.edit(id, |delivery| {
            let (status, error) = match &result {
                Ok(status) => (Some(*status), None),
                Err(error) => (None, Some(error.clone())),
            };
            delivery.attempts.push(Attempt { at, status, error });
            attempts = delivery.attempts.len();
            if delivered {
                delivery.state = DeliveryState::Delivered;
            }
        });
        if delivered && let Some(invoice) = &payload.created_invoice {
            core.state.invoices.edit(invoice, |invoice| {
                invoice.webhooks_delivered_at = invoice.webhooks_delivered_at.or(Some(sandbox_now));
            });
        }
        if !delivered && attempts > PAUSES.len() {
            core.state.deliveries.edit(id, |delivery| delivery.state = DeliveryState::Failed);
        }
    }
    if delivered {
        plan.not_before.remove(id);
        if duplicate && plan.duplicated.insert(id.to_owned()) {
            record_duplicate(shared, id, &payload).await;
        }
    } else {
        let pause = PAUSES.get(attempts.saturating_sub(1)).copied().unwrap_or(IDLE);
        plan.not_before.insert(id.to_owned(), Instant::now() + pause);
    }
    if let Err(error) = shared.persist.flush(shared).await {
        tracing::error!(%error, "the state was not written");
    }
}

/// Sends the same payload once more, and notes how that went.
async fn record_duplicate(shared: &Shared, id: &str, payload: &Payload) {
    let result = shared.sender.client.send(payload).await;
    let at = shared.real_now();
    shared.core().state.deliveries.edit(id, |delivery| {
        let (status, error) = match result {
            Ok(status) => (Some(status), None),
            Err(error) => (None, Some(error)),
        };
        delivery.attempts.push(Attempt { at, status, error });
    });
}

/// What is sent, and whether a switch asks for it twice.
fn payload(shared: &Shared, id: &str) -> Option<(Payload, bool)> {
    let core = shared.core();
    let delivery = core.state.deliveries.get(id)?;
    let endpoint = core.state.endpoints.get(&delivery.endpoint)?;
    let event = core.state.events.get(&delivery.event)?;
    let work = shared.work(&core, RequestInfo::default());
    let mut shown = work.event_json(event);
    if core.switches.later_version {
        later::transform(&mut shown);
    }
    let created = event.kind == "invoice.created";
    let payload = Payload {
        url: endpoint.url.clone(),
        secrets: endpoint.secrets.clone(),
        timestamp: shared.real_now(),
        body: format!("{shown:#}"),
        created_invoice: created.then(|| event.object.get("id")?.as_str().map(str::to_owned)).flatten(),
    };
    Some((payload, core.switches.duplicate))
}
