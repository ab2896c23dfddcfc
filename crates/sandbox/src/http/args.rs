//! Checked parameters, read by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What a request sent, after the check against its endpoint's table.
///
/// A getter gives `None` where the parameter is absent or was unset with an empty string; [`Args::unset`] tells
/// the two apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Args(pub(crate) Map<String, Value>);

impl Args {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether an empty string asks to unset it.
    pub(crate) fn unset(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(Value::is_null)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    pub(crate) fn is(&self, name: &str, word: &str) -> bool {
        self.text(name) == Some(word)
    }

    /// An object; empty when it is absent.
    pub(crate) fn object(&self, name: &str) -> Self {
        self.0.get(name).and_then(Value::as_object).cloned().map(Self).unwrap_or_default()
    }

    pub(crate) fn objects(&self, name: &str) -> Vec<Self> {
        let list = self.0.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_object).cloned().map(Self).collect()
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let list = self.0.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The value as it is, for what is kept without being understood.
    pub(crate) fn raw(&self, name: &str) -> Value {
        self.0.get(name).cloned().unwrap_or(Value::Null)
    }

    /// Sets an optional text: a value when given, nothing when unset, unchanged when absent.
    pub(crate) fn put_text(&self, name: &str, into: &mut Option<String>) {
        if self.has(name) {
            *into = self.owned(name);
        }
    }

    /// Merges metadata as Stripe does: an empty value removes its key, an empty string removes all.
    pub(crate) fn put_metadata(&self, into: &mut BTreeMap<String, String>) {
        if self.unset("metadata") {
            into.clear();
        }
        for (name, value) in self.object("metadata").0 {
            match value {
                Value::String(text) => {
                    into.insert(name, text);
                }
                _ => {
                    into.remove(&name);
                }
            }
        }
    }

    /// The metadata of something new.
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = BTreeMap::new();
        self.put_metadata(&mut metadata);
        metadata
    }

    /// All values that are texts, by name: for pairs.
    pub(crate) fn pairs(&self) -> BTreeMap<String, String> {
        let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        self.0.iter().filter_map(text).collect()
    }
}
