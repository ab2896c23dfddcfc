//! Attack 5: requests of two tenants over two connections, many of them ended in the middle.

use std::collections::BTreeSet;

use futures::FutureExt as _;
use tenantry::storage::{Database, Login, Query, ReadScope, StoreError, Tx};
use uuid::Uuid;

use super::world::{A, B, Side, TwoTenants};
use crate::support::TestDb;

/// Transactions that are opened, over both logins.
const STEPS: u64 = 100_000;
/// Requests in flight at once.
const TASKS: u64 = 6;

static PROBE: Query = Query {
    name: "probe",
    login: Login::Both,
    sql: "select concat_ws('|', coalesce(current_setting('app.user_id', true), ''),
                                coalesce(current_setting('app.key_id', true), ''),
                                coalesce(current_setting('app.tenant_id', true), ''),
                                coalesce(current_setting('app.tenants', true), '')),
                 array(select id from tenantry.tenants),
                 array(select tenant_id from tenantry.usage_counters),
                 pg_backend_pid()",
};
static HURRY: Query = Query { name: "hurry", login: Login::Both, sql: "set local statement_timeout = '1ms'" };
static SLEEP: Query = Query { name: "sleep", login: Login::Both, sql: "select pg_sleep(10)" };

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Commit,
    Rollback,
    /// Its future is dropped between two statements.
    Cancelled,
    /// Its future is dropped while the server works on a statement.
    CancelledInStatement,
    /// Its task panics.
    Panic,
    /// The server ends the statement; the transaction is rolled back.
    Timeout,
}

/// Numbers that look like chance and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn end(&mut self) -> End {
        match self.below(400) {
            0 => End::Cancelled,
            1 => End::CancelledInStatement,
            2 => End::Panic,
            3 => End::Timeout,
            even if even % 2 == 0 => End::Commit,
            _ => End::Rollback,
        }
    }
}

/// Opens a transaction for a side, or for nobody, and the settings it must have.
async fn open(db: &Database, numbers: &mut Numbers, side: Option<Side>) -> (Tx, String) {
    let tenant = side.map(|side| side.tenant);
    if numbers.below(2) == 0 {
        let tenants: Vec<Uuid> = tenant.into_iter().collect();
        let settings = format!("|||{}", tenant.map(|id| id.to_string()).unwrap_or_default());
        return (db.begin("interleaved", &tenants).await.unwrap(), settings);
    }
    let by_key = numbers.below(2) == 0;
    let narrowed = numbers.below(2) == 0;
    let scope = ReadScope {
        user_id: side.filter(|_| !by_key).map(|side| side.user),
        key_id: side.filter(|_| by_key).map(|side| side.key),
        tenant_id: tenant.filter(|_| narrowed),
    };
    let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let settings = format!("{}|{}|{}|", text(scope.user_id), text(scope.key_id), text(scope.tenant_id));
    (db.read("interleaved", scope).await.unwrap(), settings)
}

/// What the transaction sees must be its own; the server process that said so.
async fn probe(tx: &Tx, side: Option<Side>, settings: &str) -> i32 {
    let row = tx.one(&PROBE, &[]).await.unwrap();
    let own: Vec<Uuid> = side.map(|side| side.tenant).into_iter().collect();
    assert_eq!(row.get::<_, &str>(0), settings);
    assert_eq!(row.get::<_, Vec<Uuid>>(1), own);
    assert_eq!(row.get::<_, Vec<Uuid>>(2), own);
    row.get(3)
}

async fn step(db: &Database, numbers: &mut Numbers) -> (i32, End) {
    let side = [Some(A), Some(B), None][usize::try_from(numbers.below(3)).unwrap()];
    let end = numbers.end();
    let (tx, settings) = open(db, numbers, side).await;
    let process = probe(&tx, side, &settings).await;
    match end {
        End::Commit => tx.commit().await.unwrap(),
        End::Rollback => tx.rollback().await.unwrap(),
        End::Cancelled => drop(tx),
        End::CancelledInStatement => {
            // The first poll sends the statement.
            assert!(tx.rows(&SLEEP, &[]).now_or_never().is_none());
            drop(tx);
        }
        End::Panic => {
            let panicked = tokio::spawn(async move {
                let _tx = tx;
                std::panic::resume_unwind(Box::new("in the middle of a transaction"));
            });
            assert!(panicked.await.unwrap_err().is_panic());
        }
        End::Timeout => {
            tx.execute(&HURRY, &[]).await.unwrap();
            let error = tx.rows(&SLEEP, &[]).await.unwrap_err();
            assert!(matches!(error, StoreError::Statement { query: "sleep", .. }), "{error}");
            tx.rollback().await.unwrap();
        }
    }
    (process, end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attack_05_interleaved_requests_over_two_connections_see_their_own_tenant_only() {
    let world = TwoTenants::on(TestDb::with_pool(2).await).await;
    let tasks = (0..TASKS).map(|task| {
        let db = world.test.db.clone();
        tokio::spawn(async move {
            let mut numbers = Numbers(task);
            let (mut processes, mut abandoned) = (BTreeSet::new(), 0_u64);
            for _ in 0..STEPS / TASKS {
                let (process, end) = step(&db, &mut numbers).await;
                processes.insert(process);
                abandoned += u64::from(matches!(end, End::Cancelled | End::CancelledInStatement | End::Panic));
            }
            (processes, abandoned)
        })
    });
    let (mut processes, mut abandoned) = (BTreeSet::new(), 0);
    for outcome in futures::future::join_all(tasks).await {
        let (its, lost) = outcome.unwrap();
        processes.extend(its);
        abandoned += lost;
    }
    assert!(abandoned > STEPS / 200, "only {abandoned} of {STEPS} requests were abandoned");
    // A connection is given up with its transaction and by nothing else: two a pool, and one for each that was lost.
    let known = u64::try_from(processes.len()).unwrap();
    assert!(known <= abandoned + 4, "{known} connections for {abandoned} abandoned transactions");
    // Every connection that is in the pools now has no settings left.
    for _ in 0..2 {
        let readers = [0, 1].map(|_| world.test.db.read("last", ReadScope::default()));
        let writers = [0, 1].map(|_| world.test.db.begin("last", &[]));
        let (readers, writers) = tokio::join!(futures::future::join_all(readers), futures::future::join_all(writers));
        for tx in readers.into_iter().chain(writers) {
            let tx = tx.unwrap();
            probe(&tx, None, "|||").await;
            tx.rollback().await.unwrap();
        }
    }
}
