//! The document: its operations, schemas and sample objects.

use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::location::{self, LoadError};

/// Stripe's OpenAPI document and its sample objects.
#[derive(Debug)]
pub struct Spec {
    pub(crate) document: Value,
    fixtures: Value,
}

/// An operation that a request is for.
pub(crate) struct Operation<'a> {
    /// `POST /v1/customers/{customer}`.
    pub(crate) name: String,
    /// The ids in the path, by the names of their places.
    pub(crate) ids: Vec<(&'a str, String)>,
    pub(crate) definition: &'a Value,
}

impl Spec {
    /// The document, read once in a process.
    pub fn load() -> Result<&'static Self, LoadError> {
        static LOADED: OnceLock<Result<Spec, LoadError>> = OnceLock::new();
        LOADED.get_or_init(|| Self::read(&location::folder())).as_ref().map_err(Clone::clone)
    }

    /// The document in a folder.
    pub fn read(folder: &Path) -> Result<Self, LoadError> {
        let (document, fixtures) = location::read(folder)?;
        Ok(Self { document, fixtures })
    }

    /// The document, or None and a line on standard error that the named test did not run.
    ///
    /// # Panics
    ///
    /// Where there is no document and `CI` is `true`.
    #[expect(clippy::panic, reason = "where everything must be tested, a test that cannot run has failed")]
    pub fn or_ignore(test: &str) -> Option<&'static Self> {
        match Self::load() {
            Ok(spec) => Some(spec),
            Err(error) if std::env::var("CI").as_deref() == Ok("true") => panic!("{test} cannot run: {error}"),
            Err(error) => {
                // Written past the capture of the test runner, which would hide it. Nobody can be told if this fails.
                let _ = writeln!(std::io::stderr(), "IGNORED, NOT TESTED: {test}: {error}");
                None
            }
        }
    }

    /// The version of Stripe's API that the document describes.
    pub fn version(&self) -> Option<&str> {
        self.document["info"]["version"].as_str()
    }

    /// Whether the document has a schema of this name.
    pub fn has_schema(&self, name: &str) -> bool {
        self.document["components"]["schemas"].get(name).is_some()
    }

    /// Stripe's sample object of a resource, such as `subscription` or `checkout.session`.
    pub fn fixture(&self, name: &str) -> Option<&Value> {
        self.fixtures["resources"].get(name)
    }

    /// The operation that a method and a path without its query belong to. Where several templates fit, the one with
    /// the most literal segments is meant.
    pub(crate) fn operation(&self, method: &str, path: &str) -> Option<Operation<'_>> {
        let paths = self.document["paths"].as_object()?;
        let found = paths.iter().filter_map(|(template, definitions)| {
            let definition = definitions.get(method.to_ascii_lowercase())?;
            let ids = ids(template, path)?;
            Some(Operation { name: format!("{} {template}", method.to_ascii_uppercase()), ids, definition })
        });
        found.min_by_key(|operation| operation.ids.len())
    }

    /// A schema by its reference, with its name.
    pub(crate) fn referenced<'a>(&'a self, schema: &'a Value) -> Option<(&'a str, &'a Value)> {
        let name = schema.get("$ref")?.as_str()?.strip_prefix("#/components/schemas/")?;
        Some((name, self.document["components"]["schemas"].get(name)?))
    }
}

/// The ids that stand in a path where its template has names. None where the template does not fit.
fn ids<'a>(template: &'a str, path: &str) -> Option<Vec<(&'a str, String)>> {
    let (names, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    if names.len() != given.len() {
        return None;
    }
    let mut ids = Vec::new();
    for (name, given) in names.into_iter().zip(given) {
        match name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) if !given.is_empty() => {
                ids.push((name, percent_decode_str(given).decode_utf8_lossy().into_owned()));
            }
            None if name == given => {}
            _ => return None,
        }
    }
    Some(ids)
}
