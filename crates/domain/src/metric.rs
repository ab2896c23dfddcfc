//! What the catalog says of a metric beside what plans say of it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// Dimensions that a metric may have.
pub const MOST_DIMENSIONS: usize = 4;
/// Bytes of a dimension's name.
const LONGEST_NAME: usize = 64;
/// What reports are grouped by besides, or may be one day.
const RESERVED: &[&str] = &["metric", "user", "hour", "day", "week", "month", "period"];

/// What is said of a metric, whatever the plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricDefinition {
    /// Members of events' metadata that usage is summed by; at most [`MOST_DIMENSIONS`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dimensions: BTreeSet<DimensionName>,
}

/// Name of a dimension: of the member of metadata that holds its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DimensionName(String);

/// A text that is no name of a dimension.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DimensionNameError {
    /// Letters that names do not have.
    #[error("{0:?} is no dimension: use 1 to 64 of a-z, A-Z, 0-9, _ and -, a letter first")]
    Letters(String),
    /// Reports are grouped by something else of this name.
    #[error("{0:?} cannot be a dimension: reports are grouped by something else of this name")]
    Reserved(String),
}

impl DimensionName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DimensionName {
    type Err = DimensionNameError;
    fn from_str(text: &str) -> Result<Self, DimensionNameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let is_name = (1..=LONGEST_NAME).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.bytes().all(allowed);
        if !is_name {
            return Err(DimensionNameError::Letters(text.to_owned()));
        }
        if RESERVED.contains(&text) {
            return Err(DimensionNameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DimensionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DimensionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dimensions_are_words_that_mean_nothing_else() {
        for good in ["model", "Region", "api-version", "a", "user_role", &"x".repeat(64)] {
            assert_eq!(good.parse::<DimensionName>().unwrap().as_str(), good);
        }
        for bad in ["", "1st", "_x", "a b", "größe", "a.b", &"x".repeat(65)] {
            assert!(matches!(bad.parse::<DimensionName>(), Err(DimensionNameError::Letters(_))), "{bad}");
        }
        for taken in RESERVED {
            assert!(matches!(taken.parse::<DimensionName>(), Err(DimensionNameError::Reserved(_))), "{taken}");
        }
    }
}
