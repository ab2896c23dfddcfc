//! The running sandbox.

mod accept;
mod api_routes;
mod control_routes;
mod persist;
pub(crate) mod shared;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::delivery;
use crate::settings::{SandboxError, Settings};
use crate::store;
use shared::Shared;

/// How often what falls due in real time is looked for.
const TICK: Duration = Duration::from_millis(500);

/// A sandbox that listens. Dropping it stops it without waiting; [`Sandbox::stop`] waits.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Loads the state, listens, and goes on with what was under way.
    ///
    /// # Errors
    /// The address cannot be listened on; the state file cannot be used or is damaged.
    pub async fn start(settings: Settings) -> Result<Self, SandboxError> {
        let loaded = settings.state_file.as_deref().map(store::load).transpose()?.flatten();
        let listener = TcpListener::bind(settings.listen)
            .await
            .map_err(|source| SandboxError::Listen { address: settings.listen, source })?;
        let address =
            listener.local_addr().map_err(|source| SandboxError::Listen { address: settings.listen, source })?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared::new(settings, loaded, base_url(address))?);
        // Tells now, not at the first change, that the file cannot be written.
        shared.persist.flush(&shared).await?;
        let tasks = vec![
            tokio::spawn(accept::run(listener, Arc::clone(&shared), stop.clone())),
            tokio::spawn(delivery::run(Arc::clone(&shared), stop.clone())),
            tokio::spawn(tick(Arc::clone(&shared), stop.clone())),
        ];
        Ok(Self { address, shared, stop, tasks })
    }

    /// Where the API and the pages are: `http://127.0.0.1:12111`, without a slash at the end.
    pub fn url(&self) -> String {
        self.shared.base_url.to_string()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The clock, the switches, and what was delivered.
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared))
    }

    /// Stops listening and delivering. Requests under way are answered; what is pending goes on at the next start.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the sandbox did not end well");
            }
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Listening everywhere is not an address that a browser can go to.
fn base_url(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

/// Does what falls due while nobody asks.
async fn tick(shared: Arc<Shared>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        let _open = shared.gate.read().await;
        if shared.catch_up() {
            shared.changed().await;
        }
    }
}
