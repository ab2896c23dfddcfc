//! Transactions: opened for a reader or for named tenants, closed on every path.

use std::time::Instant;

use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Query, StoreError};

/// Parameters of a statement.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Who a read transaction is opened for. The database looks both up; an id that is unknown there sees nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadScope {
    /// The user who asks.
    pub user_id: Option<Uuid>,
    /// The tenant API key that asks.
    pub key_id: Option<Uuid>,
    /// The active tenant; unset, all tenants of the caller are visible.
    pub tenant_id: Option<Uuid>,
}

impl ReadScope {
    /// The statement that opens a transaction of this scope. Only parsed UUIDs get in, so nothing can be injected.
    fn begin(self) -> String {
        use std::fmt::Write as _;
        let mut sql = String::from("begin read only");
        for (setting, value) in
            [("app.user_id", self.user_id), ("app.key_id", self.key_id), ("app.tenant_id", self.tenant_id)]
        {
            if let Some(id) = value {
                // Writing to a String cannot fail.
                let _ = write!(sql, "; set local {setting} = '{id}'");
            }
        }
        sql
    }
}

/// The statement that opens a service transaction for these tenants.
fn begin_for(tenants: &[Uuid], access: &str) -> String {
    let mut sql = String::with_capacity(64 + tenants.len() * 37);
    sql.push_str("begin ");
    sql.push_str(access);
    if !tenants.is_empty() {
        sql.push_str("; set local app.tenants = '");
        let mut text = Uuid::encode_buffer();
        for (index, tenant) in tenants.iter().enumerate() {
            if index > 0 {
                sql.push(',');
            }
            sql.push_str(tenant.hyphenated().encode_lower(&mut text));
        }
        sql.push('\'');
    }
    sql
}

/// An open transaction. Dropped unfinished (a cancelled request, a panic), it takes its connection out of the
/// pool, so that no other caller ever meets its settings.
pub struct Tx {
    name: &'static str,
    client: Option<Object>,
    opened: Instant,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tx {
    pub(super) async fn read(client: Object, name: &'static str, scope: ReadScope) -> Result<Self, StoreError> {
        Self::open(client, name, &scope.begin()).await
    }

    pub(super) async fn write(client: Object, name: &'static str, tenants: &[Uuid]) -> Result<Self, StoreError> {
        Self::open(client, name, &begin_for(tenants, "")).await
    }

    pub(super) async fn service_read(client: Object, name: &'static str, tenants: &[Uuid]) -> Result<Self, StoreError> {
        Self::open(client, name, &begin_for(tenants, "isolation level repeatable read read only")).await
    }

    async fn open(client: Object, name: &'static str, begin: &str) -> Result<Self, StoreError> {
        let tx = Self { name, client: Some(client), opened: Instant::now() };
        tx.client()?.batch_execute(begin).await.map_err(|source| StoreError::Statement { query: "begin", source })?;
        Ok(tx)
    }

    /// Its name, for metrics and logs.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn client(&self) -> Result<&Object, StoreError> {
        self.client.as_ref().ok_or_else(|| StoreError::Unavailable("the transaction is over".to_owned()))
    }

    /// Prepares a statement if this connection has not yet, so that running it takes one round trip.
    pub async fn prepare(&self, query: &'static Query) -> Result<(), StoreError> {
        let failed = |source| StoreError::Statement { query: query.name, source };
        self.client()?.prepare_cached(query.sql).await.map(drop).map_err(failed)
    }

    /// All rows of a statement.
    pub async fn rows(&self, query: &'static Query, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let client = self.client()?;
        let failed = |source| StoreError::Statement { query: query.name, source };
        let statement = client.prepare_cached(query.sql).await.map_err(failed)?;
        client.query(&statement, params).await.map_err(failed)
    }

    /// The row of a statement, if there is one.
    pub async fn opt(&self, query: &'static Query, params: Params<'_>) -> Result<Option<Row>, StoreError> {
        let client = self.client()?;
        let failed = |source| StoreError::Statement { query: query.name, source };
        let statement = client.prepare_cached(query.sql).await.map_err(failed)?;
        client.query_opt(&statement, params).await.map_err(failed)
    }

    /// The one row of a statement that always has one.
    pub async fn one(&self, query: &'static Query, params: Params<'_>) -> Result<Row, StoreError> {
        self.opt(query, params).await?.ok_or(StoreError::RowCount { query: query.name, rows: 0 })
    }

    /// Runs a statement; how many rows it touched.
    pub async fn execute(&self, query: &'static Query, params: Params<'_>) -> Result<u64, StoreError> {
        let client = self.client()?;
        let failed = |source| StoreError::Statement { query: query.name, source };
        let statement = client.prepare_cached(query.sql).await.map_err(failed)?;
        client.execute(&statement, params).await.map_err(failed)
    }

    /// Runs a statement that must touch exactly one row.
    pub async fn exactly_one(&self, query: &'static Query, params: Params<'_>) -> Result<(), StoreError> {
        match self.execute(query, params).await? {
            1 => Ok(()),
            rows => Err(StoreError::RowCount { query: query.name, rows }),
        }
    }

    /// Makes everything durable. After an error nothing is known: the server may or may not have committed.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.finish("commit").await
    }

    /// Undoes everything and gives the connection back to the pool.
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.finish("rollback").await
    }

    async fn finish(mut self, how: &'static str) -> Result<(), StoreError> {
        let outcome =
            self.client()?.batch_execute(how).await.map_err(|source| StoreError::Statement { query: how, source });
        metrics::histogram!("tenantry_transaction_seconds", "name" => self.name, "outcome" => how)
            .record(self.opened.elapsed());
        if outcome.is_ok() {
            // Only a transaction that is known to be over gives its connection back.
            drop(self.client.take());
        }
        outcome
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            tracing::debug!(transaction = self.name, "transaction abandoned; its connection is closed");
            drop(Object::take(client));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_hold_parsed_uuids_only() {
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let scope = ReadScope { user_id: Some(id), key_id: None, tenant_id: Some(id) };
        assert_eq!(
            scope.begin(),
            "begin read only; set local app.user_id = '01234567-89ab-cdef-0123-456789abcdef'; \
             set local app.tenant_id = '01234567-89ab-cdef-0123-456789abcdef'"
        );
        assert_eq!(
            begin_for(&[id, id], ""),
            "begin ; set local app.tenants = '01234567-89ab-cdef-0123-456789abcdef,01234567-89ab-cdef-0123-456789abcdef'"
        );
    }
}
