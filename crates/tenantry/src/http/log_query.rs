//! Which entries of a log are wanted: a page, and filters that all must let an entry through.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::extract::{parse_timestamp, parse_uuid};
use super::page::PageQuery;
use super::problem::Problem;
use crate::storage::audit::LogFilter;

/// Longest name of a kind of entry, in characters.
const MAX_KIND: usize = 100;
/// Kinds of actors.
const ACTORS: [&str; 4] = ["user", "key", "service_key", "system"];

/// Which entries of a log, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Entries on the page, 1 to 200.
    // Text, so that an empty value is refused rather than taken for none.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<String>,
    /// `nextCursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    pub cursor: Option<String>,
    /// Only entries of this kind.
    #[param(pattern = "^[a-z_.]{1,100}$")]
    pub kind: Option<String>,
    /// Only what this actor did: the id of a user or key, or `user`, `key`, `service_key` or `system`.
    #[param(pattern = "^([0-9a-fA-F-]{36}|user|key|service_key|system)$")]
    pub actor: Option<String>,
    /// Only entries from this instant on.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<String>,
    /// Only entries before this instant.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<String>,
}

/// Who did something.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogActor {
    /// `user`, `key`, `service_key` or `system` (the command line or a worker).
    #[schema(example = "user")]
    pub r#type: String,
    /// Id of the user or key; null for `system`.
    pub id: Option<Uuid>,
}

impl LogQuery {
    /// The page.
    pub fn page(&self) -> PageQuery {
        PageQuery { limit: self.limit.clone(), cursor: self.cursor.clone() }
    }

    /// The filter, where every part of it can be read.
    pub fn filter(&self) -> Result<LogFilter<'_>, Problem> {
        let kind = self.kind.as_deref();
        let is_name = |kind: &str| {
            (1..=MAX_KIND).contains(&kind.len())
                && kind.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))
        };
        if kind.is_some_and(|kind| !is_name(kind)) {
            return Err(Problem::invalid("kind", "must be the name of a kind, such as member.added"));
        }
        let (mut actor, mut actor_id) = (None, None);
        if let Some(text) = self.actor.as_deref() {
            actor = ACTORS.into_iter().find(|known| *known == text);
            actor_id = parse_uuid(text);
            if actor.is_none() && actor_id.is_none() {
                let message = "must be the UUID of a user or key, or `user`, `key`, `service_key` or `system`";
                return Err(Problem::invalid("actor", message));
            }
        }
        let (from, to) = (instant("from", self.from.as_deref())?, instant("to", self.to.as_deref())?);
        if from.zip(to).is_some_and(|(from, to)| to <= from) {
            return Err(Problem::invalid("to", "must be after `from`"));
        }
        Ok(LogFilter { kind, actor, actor_id, from, to })
    }
}

fn instant(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let read = |text| {
        parse_timestamp(text).ok_or_else(|| {
            Problem::invalid(field, "must be a time as RFC 3339 writes it, such as 2026-11-01T00:00:00Z")
        })
    };
    text.map(read).transpose()
}
