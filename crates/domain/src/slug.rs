//! Slugs: names for people and URLs. Never a key, never an input to authorization.

use deunicode::deunicode;
use unicode_normalization::UnicodeNormalization as _;

/// Characters a slug has at least.
pub const MIN_LENGTH: usize = 3;
/// Characters a slug has at most.
pub const MAX_LENGTH: usize = 48;

/// Words that would be mistaken for a part of the product or of the application around it.
const RESERVED: &[&str] = &[
    "about",
    "account",
    "admin",
    "api",
    "app",
    "assets",
    "auth",
    "billing",
    "blog",
    "dashboard",
    "docs",
    "help",
    "healthz",
    "login",
    "logout",
    "me",
    "metrics",
    "new",
    "null",
    "openapi",
    "org",
    "organizations",
    "public",
    "readyz",
    "root",
    "security",
    "settings",
    "signup",
    "static",
    "status",
    "support",
    "system",
    "teams",
    "tenantry",
    "tenants",
    "undefined",
    "user",
    "users",
    "webhooks",
    "www",
];

/// Characters of a name that are looked at; more than fill a slug.
const NAME_READ: usize = 200;

/// Why a text is no slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlugError {
    /// Too short or too long.
    #[error("must have {MIN_LENGTH} to {MAX_LENGTH} characters")]
    Length,
    /// Something else than lower-case letters, digits and single dashes inside.
    #[error("must be lower-case letters and digits with single dashes between them")]
    Form,
    /// A reserved word.
    #[error("is a reserved word; choose another")]
    Reserved,
}

/// A slug from a name: normalized (NFKC), transliterated, dashes collapsed and trimmed. None where nothing
/// usable is left or the word is reserved: the caller then takes `org-` and a random part.
pub fn from_name(name: &str) -> Option<String> {
    let composed: String = name.nfkc().take(NAME_READ).collect();
    let mut slug = String::new();
    for character in deunicode(&composed).chars() {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= MAX_LENGTH {
            break;
        }
    }
    let slug = slug.trim_matches('-').to_owned();
    validate(&slug).is_ok().then_some(slug)
}

/// A slug with a random part (lower-case letters and digits) behind it, for when the plain one is taken. The slug is
/// cut where both together would be too long.
pub fn with_suffix(slug: &str, random: &str) -> String {
    let room = MAX_LENGTH.saturating_sub(random.len() + 1);
    let short: String = slug.chars().take(room).collect();
    let short = short.trim_end_matches('-');
    if short.is_empty() { random.chars().take(MAX_LENGTH).collect() } else { format!("{short}-{random}") }
}

/// Whether a slug that a caller gave may be used as it is.
pub fn validate(slug: &str) -> Result<(), SlugError> {
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&slug.len()) {
        return Err(SlugError::Length);
    }
    let good = slug
        .split('-')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    if !good {
        return Err(SlugError::Form);
    }
    if RESERVED.contains(&slug) { Err(SlugError::Reserved) } else { Ok(()) }
}
