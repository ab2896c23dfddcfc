//! What a metric is: how its events make the one figure that is limited, priced and reported; and the dimensions that sums
//! are reported by besides.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Characters that the name of a metadata field may have.
pub const FIELD_LENGTH: usize = 64;
/// Slots that a percentile may be made of, in minutes: they divide an hour.
pub const SLOT_MINUTES: [u8; 8] = [5, 6, 10, 12, 15, 20, 30, 60];
/// The slot of a percentile whose definition names none, in minutes.
pub const DEFAULT_SLOT_MINUTES: u8 = 5;

/// Dimensions that a metric may have.
pub const MOST_DIMENSIONS: usize = 4;
/// Bytes of a dimension's name.
const LONGEST_NAME: usize = 64;
/// What reports are grouped by besides, or may be one day.
const RESERVED: &[&str] = &["metric", "user", "hour", "day", "week", "month", "period"];

const HOUR: i64 = 3600;

/// What the catalog says of a metric beside the terms of each plan: the same for all plans.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricDefinition {
    /// What its events make. Left out where it is a sum, so that stored definitions stay what they are.
    #[serde(default, skip_serializing_if = "Aggregation::is_sum")]
    pub aggregation: Aggregation,
}

impl MetricDefinition {
    /// Whether it says nothing that a metric without a definition would not say.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What the events of a period make. Corrections and the events that they take back do not count. All of it is exact.
///
/// As text, which is how it is stored: `sum`, `max`, `last`, `unique:FIELD`, `peak`, `percentile:PERCENT:MINUTES`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Aggregation {
    /// The sum of amounts.
    #[default]
    Sum,
    /// The largest amount.
    Max,
    /// The amount of the event with the latest timestamp; of several at one instant, of the one recorded last.
    Last,
    /// How many values a metadata field has. Amounts do not matter.
    Unique {
        /// The field: a member of the metadata object, 1 to 64 characters.
        field: String,
    },
    /// The highest sum of a UTC hour.
    Peak,
    /// Sums of slots of equal length; of all slots that the period touches, empty ones too, what is left when the
    /// highest are free: the nearest rank.
    Percentile {
        /// 1 to 100.
        percent: u8,
        /// Length of a slot: one of [`SLOT_MINUTES`].
        slot_minutes: u8,
    },
}

/// A text that names no aggregation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no aggregation")]
pub struct AggregationError(String);

/// An event lacks what its metric counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("metadata.{field} must be a text, a number, true or false: this metric counts its values")]
pub struct NoValue {
    /// The field.
    pub field: String,
}

impl Aggregation {
    /// Whether it is the sum.
    pub fn is_sum(&self) -> bool {
        *self == Self::Sum
    }

    /// Its name, without what belongs to it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Last => "last",
            Self::Unique { .. } => "unique",
            Self::Peak => "peak",
            Self::Percentile { .. } => "percentile",
        }
    }

    /// Whether it can have a hard limit. A percentile cannot: what a slot comes to is open until it is over.
    pub const fn can_be_limited(&self) -> bool {
        !matches!(self, Self::Percentile { .. })
    }

    /// Length of the slots whose sums it is made of, in seconds.
    pub fn slot_seconds(&self) -> Option<i64> {
        match self {
            Self::Peak => Some(HOUR),
            Self::Percentile { slot_minutes, .. } => Some(i64::from(*slot_minutes) * 60),
            Self::Sum | Self::Max | Self::Last | Self::Unique { .. } => None,
        }
    }

    /// How many of the highest slots of a span are free. `N` slots touch `[start, end)`; the percentile leaves
    /// `N - ceil(percent / 100 * N)` of them out. Counted over the whole span from its beginning, so that the figure
    /// grows with use and does not depend on the hour at which it is asked for.
    pub fn free_slots(&self, (start, end): (Timestamp, Timestamp)) -> i64 {
        let Self::Percentile { percent, slot_minutes } = self else { return 0 };
        let width = i64::from(*slot_minutes) * 60_000_000;
        let last = -(-end.as_microsecond()).div_euclid(width);
        let slots = (last - start.as_microsecond().div_euclid(width)).max(0);
        slots - (slots * i64::from(*percent) + 99) / 100
    }

    /// The part of the figure that an event counts in: the value of its field as JSON text, or the first second of its
    /// slot since 1970. None where the figure has no parts.
    pub fn part(&self, at: Timestamp, metadata: &serde_json::Value) -> Result<Option<String>, NoValue> {
        if let Self::Unique { field } = self {
            let value = metadata.get(field).and_then(json_text);
            return value.map(Some).ok_or_else(|| NoValue { field: field.clone() });
        }
        Ok(self.slot_seconds().map(|width| slot(at, width).to_string()))
    }
}

/// The first second of the slot that contains an instant, since 1970.
fn slot(at: Timestamp, width: i64) -> i64 {
    at.as_microsecond().div_euclid(width * 1_000_000) * width
}

/// A value as the database writes it, so that both tell the same values apart; none of what is no single value.
fn json_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(_) | serde_json::Value::Bool(_) => Some(value.to_string()),
        serde_json::Value::Number(number) => Some(without_exponent(&number.to_string())),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
    }
}

/// The digits of a number written out; there is no minus before zero.
fn without_exponent(number: &str) -> String {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (mantissa, exponent) = number.split_once('e').unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let places = exponent.parse::<i64>().unwrap_or(0);
    let mut digits = format!("{whole}{fraction}");
    let mut point = i64::try_from(whole.len()).unwrap_or(0) + places;
    while point < 1 {
        digits.insert(0, '0');
        point += 1;
    }
    let point = usize::try_from(point).unwrap_or(0);
    while digits.len() < point {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at(point);
    let sign = if digits.bytes().all(|digit| digit == b'0') { "" } else { sign };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Unique { field } => write!(f, ":{field}"),
            Self::Percentile { percent, slot_minutes } => write!(f, ":{percent}:{slot_minutes}"),
            Self::Sum | Self::Max | Self::Last | Self::Peak => Ok(()),
        }
    }
}

impl FromStr for Aggregation {
    type Err = AggregationError;

    fn from_str(text: &str) -> Result<Self, AggregationError> {
        let wrong = || AggregationError(text.to_owned());
        match text.split_once(':') {
            None => match text {
                "sum" => Ok(Self::Sum),
                "max" => Ok(Self::Max),
                "last" => Ok(Self::Last),
                "peak" => Ok(Self::Peak),
                _ => Err(wrong()),
            },
            Some(("unique", field)) if is_field(field) => Ok(Self::Unique { field: field.to_owned() }),
            Some(("percentile", rest)) => {
                let (percent, minutes) = rest.split_once(':').ok_or_else(wrong)?;
                let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent));
                let slot_minutes = minutes.parse().ok().filter(|minutes| SLOT_MINUTES.contains(minutes));
                match (percent, slot_minutes) {
                    (Some(percent), Some(slot_minutes)) => Ok(Self::Percentile { percent, slot_minutes }),
                    _ => Err(wrong()),
                }
            }
            Some(_) => Err(wrong()),
        }
    }
}

/// Whether a text can name a metadata field that is counted.
pub fn is_field(text: &str) -> bool {
    (1..=FIELD_LENGTH).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

impl Serialize for Aggregation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Aggregation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
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
