//! Writes the state file, one writer at a time; changes that wait for it share a write.

use std::path::PathBuf;

use tokio::sync::Mutex;

use super::shared::Shared;
use crate::settings::SandboxError;
use crate::store;

#[derive(Debug)]
pub(crate) struct Persist {
    path: Option<PathBuf>,
    writing: Mutex<()>,
}

impl Persist {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path, writing: Mutex::new(()) }
    }

    /// Returns when the state that was current at the call, or a later one, is in the file.
    pub(crate) async fn flush(&self, shared: &Shared) -> Result<(), SandboxError> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        let _turn = self.writing.lock().await;
        let state = shared.core().state.clone();
        let failed =
            |path: PathBuf, detail: String| SandboxError::StateFile { path, source: std::io::Error::other(detail) };
        let written = path.clone();
        tokio::task::spawn_blocking(move || store::save(&written, &state))
            .await
            .map_err(|error| failed(path, error.to_string()))?
    }
}
