//! The caller's own name for an operation, under which Stripe does it once.

use std::fmt;

/// Characters that Stripe allows.
const MOST: usize = 255;

/// What a POST is repeated under. It is the caller's operation id, stored before the call; Stripe replays its first
/// answer to it for at least 24 hours, failures of its own included.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

/// A text that is no idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {MOST} visible ASCII characters")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// A key of 1 to 255 visible ASCII characters.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidIdempotencyKey> {
        let text = text.into();
        let good = (1..=MOST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if good { Ok(Self(text)) } else { Err(InvalidIdempotencyKey) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_and_short() {
        for good in ["a", "op_0192:invoice-item/3", &"x".repeat(255)] {
            assert_eq!(IdempotencyKey::new(good).unwrap().as_str(), good);
        }
        for bad in ["", " ", "a b", "a\n", "\u{e9}", &"x".repeat(256)] {
            assert_eq!(IdempotencyKey::new(bad), Err(InvalidIdempotencyKey), "{bad:?}");
        }
    }
}
