//! Pages of lists: `limit` and an opaque `cursor`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::extract::Cursor;
use super::problem::Problem;

/// Rows on a page where the caller does not say.
const DEFAULT_LIMIT: u16 = 50;
/// Rows on a page at the most.
const MAX_LIMIT: u16 = 200;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Rows on the page, 1 to 200.
    // Text, so that an empty value is refused rather than taken for none.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<String>,
    /// `nextCursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    pub cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins; null on the last one.
    pub next_cursor: Option<String>,
}

impl PageQuery {
    /// How many rows are wanted.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.limit.as_deref().map_or(Ok(DEFAULT_LIMIT), str::parse) {
            Ok(limit @ 1..=MAX_LIMIT) => Ok(usize::from(limit)),
            _ => Err(Problem::invalid("limit", format!("must be 1 to {MAX_LIMIT}"))),
        }
    }

    /// The row after which the page begins.
    pub fn after(&self) -> Result<Option<(Timestamp, Uuid)>, Problem> {
        self.cursor.as_deref().map(|text| Cursor::decode(text).map(|cursor| (cursor.time, cursor.id))).transpose()
    }

    /// How many rows to read: one more than wanted tells whether there is a next page.
    pub fn fetch(&self) -> Result<i64, Problem> {
        Ok(i64::try_from(self.limit()?).unwrap_or(i64::from(MAX_LIMIT)) + 1)
    }
}

impl<T> Page<T> {
    /// A page of the rows that were fetched.
    pub fn of<R>(
        mut rows: Vec<R>,
        query: &PageQuery,
        position: impl Fn(&R) -> (Timestamp, Uuid),
        view: impl Fn(R) -> T,
    ) -> Result<Self, Problem> {
        let limit = query.limit()?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| has_more).map(|row| {
            let (time, id) = position(row);
            Cursor { time, id }.encode()
        });
        Ok(Self { data: rows.into_iter().map(view).collect(), next_cursor })
    }
}
