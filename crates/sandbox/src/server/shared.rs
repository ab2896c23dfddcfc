//! What the tasks of a running sandbox share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Notify, RwLock};

use super::persist::Persist;
use crate::delivery::Sender;
use crate::engine::{RequestInfo, State, Work, next_due, run_due};
use crate::model::{Endpoint, Metadata, Time};
use crate::settings::{OnClock, SandboxError, Settings, Source, WebhookTarget};
use crate::switches::{FaultRule, Switches};

/// The id of the endpoint that comes from the settings.
const CONFIGURED: &str = "we_configured";

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) base_url: Arc<str>,
    pub(crate) secret_key: SecretString,
    pub(crate) source: Source,
    pub(crate) on_clock: Option<OnClock>,
    /// Requests hold it for reading, the clock for writing while it moves.
    pub(crate) gate: RwLock<()>,
    pub(crate) persist: Persist,
    pub(crate) sender: Sender,
    /// There may be something to deliver.
    pub(crate) wake: Notify,
}

/// What changes, behind one lock that is never held across an await.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) state: State,
    pub(crate) switches: Switches,
    pub(crate) faults: Vec<FaultRule>,
    pub(crate) in_flight: HashSet<String>,
    /// See [`Switches::same_second`].
    pub(crate) pinned: Option<Time>,
    pub(crate) requests: u64,
}

impl Shared {
    pub(super) fn new(settings: Settings, loaded: Option<State>, base_url: String) -> Result<Self, SandboxError> {
        let seed = hex::encode(settings.source.bytes());
        let now = settings.source.now().as_second();
        let core = Core {
            state: loaded.unwrap_or_else(|| State::new(seed, now)),
            switches: Switches::default(),
            faults: Vec::new(),
            in_flight: HashSet::new(),
            pinned: None,
            requests: 0,
        };
        let shared = Self {
            core: Mutex::new(core),
            base_url: base_url.into(),
            secret_key: settings.secret_key,
            source: settings.source,
            on_clock: settings.on_clock,
            gate: RwLock::new(()),
            persist: Persist::new(settings.state_file),
            sender: Sender::new()?,
            wake: Notify::new(),
        };
        if let Some(target) = settings.webhook {
            shared.set_webhook(Some(&target));
        }
        Ok(shared)
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        // A panic in another thread leaves a state that was whole: it is put in place only when done.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Real time, in seconds.
    pub(crate) fn real_now(&self) -> Time {
        self.source.now().as_second()
    }

    /// The work of one operation on a copy of the state, at the sandbox's time.
    pub(crate) fn work(&self, core: &Core, request: RequestInfo) -> Work {
        let now = (self.real_now() + core.state.offset).max(core.state.done_until);
        Work { state: core.state.clone(), now, base_url: Arc::clone(&self.base_url), request, pinned: core.pinned }
    }

    /// Does what has fallen due until now. True when there was anything.
    pub(crate) fn catch_up(&self) -> bool {
        let mut core = self.core();
        self.catch_up_locked(&mut core)
    }

    /// See [`Shared::catch_up`].
    pub(crate) fn catch_up_locked(&self, core: &mut Core) -> bool {
        let mut work = self.work(core, RequestInfo::default());
        let until = work.now;
        let due = next_due(&work).is_some_and(|at| at <= until);
        run_due(&mut work, until);
        core.state = work.state;
        due
    }

    /// Keeps the state and wakes the deliveries, after something changed.
    pub(crate) async fn changed(&self) {
        if let Err(error) = self.persist.flush(self).await {
            // It is still in memory, and the next change writes it.
            tracing::error!(%error, "the state was not written");
        }
        self.wake.notify_one();
    }

    pub(crate) fn set_webhook(&self, target: Option<&WebhookTarget>) {
        let mut core = self.core();
        let created = self.real_now() + core.state.offset;
        match target {
            None => core.state.endpoints.remove(CONFIGURED),
            Some(target) => core.state.endpoints.put(Endpoint {
                id: CONFIGURED.to_owned(),
                created,
                url: target.url.clone(),
                secrets: target.secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect(),
                enabled_events: vec!["*".to_owned()],
                description: Some("From the sandbox's settings".to_owned()),
                metadata: Metadata::new(),
                disabled: false,
                api_version: None,
            }),
        }
    }
}
