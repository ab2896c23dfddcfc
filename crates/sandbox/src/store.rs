//! The state file: written whole, atomically, after each change.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::State;
use crate::settings::SandboxError;

/// The format of the file. A file of another one is not read.
const FORMAT: u32 = 1;

#[derive(Deserialize)]
struct Read {
    format: u32,
    state: serde_json::Value,
}

#[derive(Serialize)]
struct Write<'a> {
    format: u32,
    state: &'a State,
}

/// Reads the state of an earlier run; none when there is no file.
pub(crate) fn load(path: &Path) -> Result<Option<State>, SandboxError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SandboxError::StateFile { path: path.to_owned(), source }),
    };
    let damaged = |detail: String| SandboxError::Damaged { path: path.to_owned(), detail };
    let read: Read = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    if read.format != FORMAT {
        return Err(damaged(format!("format {} where {FORMAT} is expected", read.format)));
    }
    serde_json::from_value(read.state).map(Some).map_err(|error| damaged(error.to_string()))
}

/// Writes the state beside the file, then puts it in its place: a crash leaves the old one or the new one.
pub(crate) fn save(path: &Path, state: &State) -> Result<(), SandboxError> {
    let failed = |source: std::io::Error| SandboxError::StateFile { path: path.to_owned(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let text = serde_json::to_vec(&Write { format: FORMAT, state }).map_err(|error| failed(error.into()))?;
    let mut file = private().open(&beside).map_err(failed)?;
    // Not forced to the disk: what must survive is the end of the process, and each answer waits for this.
    file.write_all(&text).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

/// Signing secrets are in the file: it is for its owner only.
fn private() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
