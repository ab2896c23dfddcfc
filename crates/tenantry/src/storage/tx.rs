//! Transactions: opened for a reader or for named tenants, closed on every path.

use std::time::Instant;

use deadpool_postgres::Object;
use futures::future::join_all;
use futures::{Stream, TryStreamExt as _};
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
    /// The statement that opens a transaction of this scope: one snapshot for all its statements. Only parsed UUIDs get in,
    /// so nothing can be injected.
    fn begin(self) -> String {
        use std::fmt::Write as _;
        let mut sql = String::from("begin isolation level repeatable read read only");
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

/// Settings of transactions that open with their first statements, which are few, run all day and find every row by a
/// key. Left to itself the server plans some of them anew each time, since the length of an array tells it more than
/// nothing: a quarter of its time where groups are small. A plan that is kept must not scan a table either that was
/// small when the plan was made.
const KEPT_PLANS: &str = "; set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off";

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
        tx.send_begin(begin).await?;
        Ok(tx)
    }

    async fn send_begin(&self, begin: &str) -> Result<(), StoreError> {
        let sent = self.client()?.batch_execute(begin).await;
        sent.map_err(|source| StoreError::Statement { query: "begin", source })
    }

    /// Its name, for metrics and logs.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn client(&self) -> Result<&Object, StoreError> {
        self.client.as_ref().ok_or_else(|| StoreError::Unavailable("the transaction is over".to_owned()))
    }

    /// All rows of a statement.
    pub async fn rows(&self, query: &'static Query, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let client = self.client()?;
        let failed = |source| StoreError::Statement { query: query.name, source };
        let statement = client.prepare_cached(query.sql).await.map_err(failed)?;
        client.query(&statement, params).await.map_err(failed)
    }

    /// The rows of a statement one after the other, for answers that are too large to be held. Memory stays flat: what
    /// is not taken yet stays at the server.
    pub async fn stream(
        &self,
        query: &'static Query,
        params: Params<'_>,
    ) -> Result<impl Stream<Item = Result<Row, StoreError>> + use<>, StoreError> {
        let client = self.client()?;
        let failed = |source| StoreError::Statement { query: query.name, source };
        let statement = client.prepare_cached(query.sql).await.map_err(failed)?;
        let rows = client.query_raw(&statement, params.iter().copied()).await.map_err(failed)?;
        Ok(rows.map_err(failed))
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

    async fn finish(self, how: &'static str) -> Result<(), StoreError> {
        let sent = self.send_end(how).await;
        self.ended(how, sent)
    }

    async fn send_end(&self, how: &'static str) -> Result<(), StoreError> {
        self.client()?.batch_execute(how).await.map_err(|source| StoreError::Statement { query: how, source })
    }

    fn ended(mut self, how: &'static str, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        metrics::histogram!("tenantry_transaction_seconds", "name" => self.name, "outcome" => how)
            .record(self.opened.elapsed());
        if outcome.is_ok() {
            // Only a transaction that is known to be over gives its connection back.
            drop(self.client.take());
        }
        outcome
    }

    /// Runs the last statements of a transaction and commits it, in one round trip: their rows once all is durable, or
    /// the first error once all is undone.
    ///
    /// The server does not wait for us between the statements and the commit, so the locks of the last statements are
    /// held no longer than writing takes. What must not be committed has to fail in the database: after a statement's
    /// error a commit is a rollback.
    pub async fn commit_behind(self, last: &[(&'static Query, Params<'_>)]) -> Result<Vec<Vec<Row>>, StoreError> {
        // Prepared before anything is sent: a statement that had to wait for its preparation would come after the
        // commit, outside of the transaction.
        let mut statements = Vec::with_capacity(last.len());
        for (query, params) in last {
            let prepared = self.client()?.prepare_cached(query.sql).await;
            let statement = prepared.map_err(|source| StoreError::Statement { query: query.name, source })?;
            statements.push((query, statement, params));
        }
        let (rows, sent) = {
            let client = self.client()?;
            let rows = statements.iter().map(async |(query, statement, params)| {
                let rows = client.query(statement, params).await;
                rows.map_err(|source| StoreError::Statement { query: query.name, source })
            });
            // Each is sent when it is first polled, and they are polled in this order.
            tokio::join!(biased; join_all(rows), self.send_end("commit"))
        };
        // After the first error every other one only says that there was one.
        let rows: Result<Vec<Vec<Row>>, StoreError> = rows.into_iter().collect();
        self.ended(if rows.is_ok() { "commit" } else { "rollback" }, sent)?;
        rows
    }
}

/// A write transaction that is opened in the round trip of its first statements. Made by
/// [`begin_with!`](crate::begin_with!), which alone sees to the order.
#[derive(Debug)]
pub struct Opening {
    tx: Tx,
    begin: String,
}

impl Opening {
    pub(super) fn new(client: Object, name: &'static str, tenants: &[Uuid]) -> Self {
        let tx = Tx { name, client: Some(client), opened: Instant::now() };
        Self { tx, begin: begin_for(tenants, "") + KEPT_PLANS }
    }

    /// Sends the opening. Whatever is sent after it on this connection comes after it; where it fails, the transaction
    /// must not be used any more.
    pub async fn begin(&self) -> Result<(), StoreError> {
        self.tx.send_begin(&self.begin).await
    }

    /// The transaction, for statements that are sent right behind the opening.
    pub fn tx(&self) -> &Tx {
        &self.tx
    }

    /// The transaction once it is open.
    pub fn opened(self) -> Tx {
        self.tx
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
            "begin isolation level repeatable read read only; set local app.user_id = '01234567-89ab-cdef-0123-456789abcdef'; \
             set local app.tenant_id = '01234567-89ab-cdef-0123-456789abcdef'"
        );
        assert_eq!(
            begin_for(&[id, id], ""),
            "begin ; set local app.tenants = '01234567-89ab-cdef-0123-456789abcdef,01234567-89ab-cdef-0123-456789abcdef'"
        );
    }
}
