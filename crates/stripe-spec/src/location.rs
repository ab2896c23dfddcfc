//! Where the document lies.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Why there is no document.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// No folder, or no document in it.
    #[error("no openapi.v1.*.json in {}: set STRIPE_SPEC_DIR to the folder that has it", .0.display())]
    Missing(PathBuf),
    /// A file that cannot be used.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The folder that has the document.
pub(crate) fn folder() -> PathBuf {
    let default = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."));
        root.join("../shared/stripe")
    };
    std::env::var_os("STRIPE_SPEC_DIR").map_or_else(default, PathBuf::from)
}

/// The document and the sample objects in a folder. Of several documents the newest one is taken.
pub(crate) fn read(folder: &Path) -> Result<(Value, Value), LoadError> {
    let missing = || LoadError::Missing(folder.to_owned());
    let files = fs::read_dir(folder).map_err(|_| missing())?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_document = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix("openapi.v1.")?.strip_suffix(".json")).is_some()
    };
    let newest = files.filter(|path| is_document(path)).max();
    let document = parsed(&newest.ok_or_else(missing)?)?;
    Ok((document, parsed(&folder.join("fixtures3.json"))?))
}

fn parsed(path: &Path) -> Result<Value, LoadError> {
    let unreadable = |reason: String| LoadError::Unreadable { path: path.to_owned(), reason };
    let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))
}
