//! What is said of a value that cannot be read: where it stands and what it must be, never what it is.

use std::path::Path;

use super::ConfigError;

/// The first of several problems; mending it shows the next.
pub(super) fn describe(error: &figment::Error, file: &Path) -> ConfigError {
    let place = error.metadata.as_ref().map_or_else(
        || file.display().to_string(),
        |metadata| match &metadata.source {
            Some(source) => source.to_string(),
            None => metadata.name.to_string(),
        },
    );
    let key = if error.path.is_empty() { String::new() } else { format!("{}: ", error.path.join(".")) };
    // Only the kind of a value, never the value: it may be a secret.
    let what = match &error.kind {
        figment::error::Kind::InvalidType(_, expected) | figment::error::Kind::InvalidValue(_, expected) => {
            format!("must be {expected}")
        }
        figment::error::Kind::UnknownField(field, known) => {
            format!("unknown key {field:?}; known are {}", known.join(", "))
        }
        // A syntax error comes with the line that it is in, which may hold a secret.
        figment::error::Kind::Message(text) if text.lines().count() > 1 => {
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let (first, last) = (lines.next().unwrap_or_default(), lines.next_back().unwrap_or_default());
            format!("{first}: {last}")
        }
        other => other.to_string(),
    };
    ConfigError::Value(format!("{place}: {key}{what}"))
}
