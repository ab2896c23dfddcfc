//! Reading Stripe's answers: strict about what is read, indifferent to everything else.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};

/// An answer that does not have what must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    place: String,
    expected: &'static str,
}

impl ReadError {
    pub(crate) fn new(expected: &'static str) -> Self {
        Self { place: String::new(), expected }
    }

    /// The same error, seen from one level up.
    pub(crate) fn within(mut self, name: &str) -> Self {
        let dot = if self.place.is_empty() || self.place.starts_with('[') { "" } else { "." };
        self.place = format!("{name}{dot}{}", self.place);
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.place.is_empty() { "the answer" } else { &self.place };
        write!(f, "{place} is not {}", self.expected)
    }
}

impl std::error::Error for ReadError {}

/// What can be read from Stripe's JSON.
pub trait FromJson: Sized {
    /// Reads a value; the error names the place and what should be there.
    fn from_json(value: &Value) -> Result<Self, ReadError>;

    /// What is read where the value is missing or null. None where it must be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// What has an id of its own at Stripe.
pub trait Object: FromJson {
    /// The id.
    fn id(&self) -> &str;
}

/// A member of an object.
pub(crate) fn member<T: FromJson>(members: &Map<String, Value>, name: &str) -> Result<T, ReadError> {
    match members.get(name) {
        None | Some(Value::Null) => T::absent().ok_or_else(|| ReadError::new("there").within(name)),
        Some(value) => T::from_json(value).map_err(|error| error.within(name)),
    }
}

impl FromJson for String {
    fn from_json(value: &Value) -> Result<Self, ReadError> {
        value.as_str().map(str::to_owned).ok_or(ReadError::new("a text"))
    }
}

impl FromJson for bool {
    fn from_json(value: &Value) -> Result<Self, ReadError> {
        value.as_bool().ok_or(ReadError::new("true or false"))
    }

    fn absent() -> Option<Self> {
        Some(false)
    }
}

impl FromJson for i64 {
    fn from_json(value: &Value) -> Result<Self, ReadError> {
        value.as_i64().ok_or(ReadError::new("a whole number"))
    }
}

impl FromJson for Value {
    fn from_json(value: &Value) -> Result<Self, ReadError> {
        Ok(value.clone())
    }

    fn absent() -> Option<Self> {
        Some(Self::Null)
    }
}

impl FromJson for Timestamp {
    /// Seconds since 1970, or, in events of the second kind, a text of RFC 3339.
    fn from_json(value: &Value) -> Result<Self, ReadError> {
        let read = match value {
            Value::String(text) => text.parse().ok(),
            _ => value.as_i64().and_then(|seconds| Self::from_second(seconds).ok()),
        };
        read.ok_or(ReadError::new("a time"))
    }
}

impl<T: FromJson> FromJson for Option<T> {
    fn from_json(value: &Value) -> Result<Self, ReadError> {
        T::from_json(value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(value: &Value) -> Result<Self, ReadError> {
        let elements = value.as_array().ok_or(ReadError::new("a list"))?;
        let read = |(index, element)| T::from_json(element).map_err(|error| error.within(&format!("[{index}]")));
        elements.iter().enumerate().map(read).collect()
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

impl<T: FromJson> FromJson for BTreeMap<String, T> {
    fn from_json(value: &Value) -> Result<Self, ReadError> {
        let members = value.as_object().ok_or(ReadError::new("an object"))?;
        members.keys().map(|name| Ok((name.clone(), member(members, name)?))).collect()
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

/// Something that Stripe gives by its id, or whole where the request expands it.
#[derive(Debug, Clone, PartialEq)]
pub enum Expandable<T> {
    /// Its id.
    Id(String),
    /// All of it.
    Object(Box<T>),
}

impl<T: Object> Expandable<T> {
    /// The id, in either case.
    pub fn id(&self) -> &str {
        match self {
            Self::Id(id) => id,
            Self::Object(object) => object.id(),
        }
    }

    /// The object, where it was expanded.
    pub fn object(&self) -> Option<&T> {
        match self {
            Self::Id(_) => None,
            Self::Object(object) => Some(object),
        }
    }
}

impl<T: Object> FromJson for Expandable<T> {
    fn from_json(value: &Value) -> Result<Self, ReadError> {
        match value {
            Value::String(id) => Ok(Self::Id(id.clone())),
            _ => T::from_json(value).map(|object| Self::Object(Box::new(object))),
        }
    }
}

/// Declares a type of answer: its fields as they are read, and `raw`, the JSON that it was read from. A field whose
/// name in JSON is another gives it behind `=`. The output of `Debug` has the fields that are read and nothing else.
macro_rules! object {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident $(= $key:literal)? : $type:ty),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $type,)*
            /// The JSON that it was read from.
            pub raw: serde_json::Value,
        }

        impl $crate::FromJson for $name {
            fn from_json(value: &serde_json::Value) -> Result<Self, $crate::ReadError> {
                let members = value.as_object().ok_or($crate::ReadError::new("an object"))?;
                Ok(Self {
                    $($field: $crate::read::member(members, $crate::read::key!($field $($key)?))?,)*
                    raw: value.clone(),
                })
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
            }
        }
    };
}

/// The name of a field in JSON.
macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

/// Says that types of answers have an id.
macro_rules! has_id {
    ($($name:ident),+ $(,)?) => {
        $(impl $crate::Object for $name {
            fn id(&self) -> &str {
                &self.id
            }
        })+
    };
}

pub(crate) use {has_id, key, object};

object! {
    /// An object of which only the id is read.
    AnyObject {
        /// Its id.
        id: String,
    }
}

object! {
    /// What is left of a deleted object.
    Deleted {
        /// Its id.
        id: String,
        /// It is gone.
        deleted: bool,
    }
}

has_id!(AnyObject, Deleted);
