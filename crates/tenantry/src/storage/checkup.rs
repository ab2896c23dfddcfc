//! What the server says of itself, for the operator.

use jiff::Timestamp;
use tokio_postgres::{Client, Error};

/// Settings that matter.
#[derive(Debug, Clone)]
pub struct Checkup {
    /// Version of the server.
    pub version: String,
    /// Whether a commit that was answered survives a crash.
    pub is_durable: bool,
    /// Whether large objects, which know no row security, are closed to all.
    pub large_objects_revoked: bool,
    /// Connections that the server allows.
    pub max_connections: i64,
    /// What time it is there.
    pub now: Timestamp,
}

/// Asks the server. Nothing is changed.
pub async fn read(client: &Client) -> Result<Checkup, Error> {
    let row = client
        .query_one(
            "select current_setting('server_version'),
                    current_setting('fsync')::bool and current_setting('synchronous_commit') <> 'off',
                    not has_function_privilege('pg_catalog.lo_create(oid)', 'execute'),
                    current_setting('max_connections')::bigint,
                    clock_timestamp()",
            &[],
        )
        .await?;
    Ok(Checkup {
        version: row.try_get(0)?,
        is_durable: row.try_get(1)?,
        large_objects_revoked: row.try_get(2)?,
        max_connections: row.try_get(3)?,
        now: row.try_get(4)?,
    })
}
