//! What can go wrong between us and the database.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

/// A failed database operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection could be had: the server is down, refuses, or every connection is in use.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// The server refused a statement.
    #[error("statement {query} failed: {}", reason(source))]
    Statement {
        /// Name of the statement.
        query: &'static str,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A statement that must touch exactly one row touched another number.
    #[error("statement {query} touched {rows} rows where one was due")]
    RowCount {
        /// Name of the statement.
        query: &'static str,
        /// How many rows it touched.
        rows: u64,
    },
    /// A stored value is not what this version understands.
    #[error("stored {what} cannot be read: {reason}")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// A stored value that cannot be read.
    pub fn corrupt(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { what, reason: reason.to_string() }
    }

    /// The name of the violated constraint, if that is what went wrong.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Statement { source, .. } => source.as_db_error().and_then(|db| db.constraint()),
            _ => None,
        }
    }

    /// The server's SQLSTATE, if it answered with one.
    pub fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Statement { source, .. } => source.code(),
            _ => None,
        }
    }

    /// Whether the same transaction may be run again: a deadlock or a serialization failure undid it whole.
    pub fn is_retryable(&self) -> bool {
        matches!(self.state(), Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE))
    }

    /// Whether the database was out of reach, rather than in disagreement.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Statement { source, .. } => {
                source.is_closed()
                    || matches!(
                        source.code(),
                        Some(
                            &SqlState::ADMIN_SHUTDOWN
                                | &SqlState::CRASH_SHUTDOWN
                                | &SqlState::CANNOT_CONNECT_NOW
                                | &SqlState::TOO_MANY_CONNECTIONS
                                | &SqlState::DISK_FULL
                                | &SqlState::READ_ONLY_SQL_TRANSACTION
                        )
                    )
            }
            _ => false,
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        Self::Unavailable(match error {
            PoolError::Backend(source) => describe(&source),
            other => other.to_string(),
        })
    }
}

/// What the server said, without the details, which have values in them.
fn reason(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| describe(error), |db| db.message().to_owned())
}

/// A driver error with its cause: the driver prints only "db error" or "error connecting to server".
pub fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
