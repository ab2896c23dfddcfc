//! Finding a free slug: by inserting, since between looking and inserting another may take it.

use jiff::Timestamp;
use tenantry_domain::slug;

use super::TenancyError;
use crate::env::Env;
use crate::storage::Tx;
use crate::storage::tenants::{self, LockedTenant, NewTenant};

/// How many random slugs are tried; with 50 bits each the second is practically always free.
const ATTEMPTS: usize = 8;
/// Letters and digits that are not mistaken for each other; 32 of them, so that a byte's low bits pick one evenly.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789x";

/// How a tenant comes to its slug.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// The caller gave it: this one or none.
    Exactly(&'a str),
    /// Made from a name; where that gives none, `org-` and random characters.
    FromName(&'a str),
    /// This, a dash and random characters.
    Random(&'static str),
}

/// Inserts a tenant under the slug that is wanted (`new.slug` is not looked at).
pub(super) async fn insert(
    tx: &Tx,
    env: &Env,
    new: &NewTenant<'_>,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<LockedTenant, TenancyError> {
    let mut candidate = match wanted {
        Wanted::Exactly(slug) => {
            slug::validate(slug).map_err(|error| TenancyError::invalid("slug", error.to_string()))?;
            slug.to_owned()
        }
        Wanted::FromName(name) => slug::from_name(name).unwrap_or_else(|| with_random("org", env)),
        Wanted::Random(prefix) => with_random(prefix, env),
    };
    for _ in 0..ATTEMPTS {
        let attempt = NewTenant { slug: &candidate, settings: new.settings, ..*new };
        if let Some(tenant) = tenants::insert(tx, &attempt, now).await? {
            return Ok(tenant);
        }
        candidate = match wanted {
            Wanted::Exactly(slug) => return Err(TenancyError::SlugTaken(slug.to_owned())),
            Wanted::FromName(name) => match slug::from_name(name) {
                Some(slug) => slug::with_suffix(&slug, &random(env)),
                None => with_random("org", env),
            },
            Wanted::Random(prefix) => with_random(prefix, env),
        };
    }
    Err(TenancyError::SlugTaken(candidate))
}

fn with_random(prefix: &str, env: &Env) -> String {
    format!("{prefix}-{}", random(env))
}

/// Ten random characters.
fn random(env: &Env) -> String {
    env.ids.bytes::<10>().iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}
