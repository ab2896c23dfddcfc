//! Something that the document does not allow.

use std::fmt;

/// A place and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where: a parameter as it is sent (`items[0][price]`) or a field of an answer (`items.data[0].price`).
    pub place: String,
    /// What is wrong.
    pub problem: String,
}

impl Violation {
    pub(crate) fn new(place: &str, problem: impl Into<String>) -> Self {
        Self { place: place.to_owned(), problem: problem.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}
