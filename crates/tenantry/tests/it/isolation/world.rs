//! Two tenants with a row in every table, and attempts at them under settings of one's own choice.

use tenantry::storage::migrate;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};
use uuid::Uuid;

use super::samples::sample;
use crate::support::TestDb;

/// A tenant, its one member and its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    pub(super) tenant: Uuid,
    pub(super) user: Uuid,
    pub(super) key: Uuid,
}

const fn side(letter: u128) -> Side {
    Side {
        tenant: Uuid::from_u128(letter << 64 | 1),
        user: Uuid::from_u128(letter << 64 | 2),
        key: Uuid::from_u128(letter << 64 | 3),
    }
}

pub(super) const A: Side = side(0xa);
pub(super) const B: Side = side(0xb);
/// Is a user, and a member of neither.
pub(super) const OUTSIDER: Uuid = Uuid::from_u128(0xc << 64 | 2);

/// The id that row `number` of a table has where it has one of its own.
fn new_id(table: &str, side: Side, number: u32) -> Uuid {
    let seed = u128::from_le_bytes(std::array::from_fn(|index| *table.as_bytes().get(index).unwrap_or(&b'_')));
    Uuid::from_u128(seed.rotate_left(37).wrapping_add(side.tenant.as_u128()).wrapping_add(u128::from(number)))
}

/// The tenant whose id a new row of `tenants` would have.
pub(super) fn new_tenant(side: Side, number: u32) -> Uuid {
    new_id("tenants", side, number)
}

fn fill(value: &str, table: &str, side: Side, number: u32) -> String {
    let id = |id: Uuid| format!("'{id}'::uuid");
    let own = match (table, number) {
        ("users", 0) => side.user,
        ("tenants", 0) => side.tenant,
        ("api_keys", 0) => side.key,
        _ => new_id(table, side, number),
    };
    value
        .replace("{t}", &id(side.tenant))
        .replace("{u}", &id(side.user))
        .replace("{k}", &id(side.key))
        .replace("{n}", &number.to_string())
        .replace("{new}", &id(new_id(table, side, number)))
        .replace("{subscription}", &id(new_id("tenant_subscriptions", side, 0)))
        .replace("{self}", &id(own))
        .replace("{notice}", &id(new_id("notifications", side, 0)))
        .replace("{team}", &id(new_id("teams", side, 0)))
        .replace("{endpoint}", &id(new_id("webhook_endpoints", side, 0)))
        .replace("{invitation}", &id(new_id("invitations", side, 0)))
        .replace("{member}", &id(if number == 0 { side.user } else { OUTSIDER }))
}

/// The statement that inserts row `number` of a table, with some columns' values replaced.
pub(super) fn insert(table: &str, side: Side, number: u32, replaced: &[(&str, &str)]) -> String {
    let row = sample(table).unwrap_or_else(|| panic!("no sample row for the table {table}: add one to world.rs"));
    let mut cells: Vec<(&str, String)> =
        row.iter().map(|(column, value)| (*column, fill(value, table, side, number))).collect();
    for (column, value) in replaced {
        cells.retain(|(known, _)| known != column);
        cells.push((column, (*value).to_owned()));
    }
    let (columns, values): (Vec<&str>, Vec<String>) = cells.into_iter().unzip();
    format!("insert into tenantry.{table} ({}) values ({})", columns.join(", "), values.join(", "))
}

/// A table of the schema, or a view.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    /// SQL that is true of rows of a tenant; absent where rows belong to nobody.
    belongs: Option<&'static str>,
    pub(super) is_view: bool,
}

impl Table {
    /// Whether a row belongs to a side, as SQL; false where rows belong to nobody.
    pub(super) fn of(&self, side: Side) -> String {
        self.belongs.map_or_else(|| "false".to_owned(), |sql| fill(sql, &self.name, side, 0))
    }

    pub(super) fn is_owned(&self) -> bool {
        self.belongs.is_some()
    }
}

/// The tables whose rows belong to no tenant, with the reason.
const NOBODYS: &[(&str, &str)] = &[
    ("plan_versions", "the catalog is the same for all"),
    ("idempotency_keys", "found by a hash that names the caller; no reader sees them"),
    ("stripe_prices", "the catalog at Stripe is the same for all; no reader sees it"),
    ("stripe_meter_prices", "the catalog at Stripe is the same for all; no reader sees it"),
    ("stripe_events", "an event arrives before its tenant is known; no reader sees them"),
    ("stripe_cursors", "a sweep goes over all tenants; no reader sees them"),
    ("development_clock", "one clock for the deployment; no reader sees it"),
    ("retention_runs", "a month leaves for all tenants at once; no reader sees it"),
];

/// A database with two tenants.
pub(super) struct TwoTenants {
    pub(super) test: TestDb,
    pub(super) admin: Client,
    pub(super) tables: Vec<Table>,
}

impl TwoTenants {
    pub(super) async fn new() -> Self {
        Self::on(TestDb::new().await).await
    }

    pub(super) async fn on(test: TestDb) -> Self {
        let admin = test.admin_client().await;
        let tables = tables(&admin).await;
        // Rows refer to each other; all of them are there in the end.
        admin.batch_execute("set session_replication_role = replica").await.unwrap();
        for table in tables.iter().filter(|table| !table.is_view) {
            for side in [A, B] {
                if table.name == "plan_versions" && side.tenant == B.tenant {
                    continue;
                }
                let sql = insert(&table.name, side, 0, &[]);
                admin.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            }
        }
        admin.batch_execute("reset session_replication_role").await.unwrap();
        let outsider = format!("insert into tenantry.users values ('{OUTSIDER}', null, now(), now())");
        admin.batch_execute(&outsider).await.unwrap();
        Self { test, admin, tables }
    }

    /// Everything that belongs to a side, as text.
    pub(super) async fn dump(&self, side: Side) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for table in self.tables.iter().filter(|table| !table.is_view) {
            let (name, belongs) = (&table.name, table.of(side));
            let sql = format!(
                "select coalesce(json_agg(t order by t::text), '[]')::text from tenantry.{name} t where {belongs}"
            );
            all.push((name.clone(), self.admin.query_one(&sql, &[]).await.unwrap().get(0)));
        }
        all
    }
}

/// Every table and view of the schema but partitions.
async fn tables(admin: &Client) -> Vec<Table> {
    let rows = admin
        .query(
            "select relname::text, relkind = 'v',
                    exists (select from pg_attribute where attrelid = c.oid and attname = 'tenant_id'),
                    exists (select from pg_attribute where attrelid = c.oid and attname = 'organization_id')
             from pg_class c
             where relnamespace = 'tenantry'::regnamespace and relkind in ('r', 'p', 'v') and not relispartition
             order by 1",
            &[],
        )
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            let name: String = row.get(0);
            let belongs = match name.as_str() {
                "tenants" | "organizations" => Some("id = {t}"),
                "users" => Some("id = {u}"),
                _ if row.get(2) => Some("tenant_id = {t}"),
                _ if row.get(3) => Some("organization_id = {t}"),
                // A view of personal tenants.
                _ if row.get(1) => Some("user_id = {u}"),
                other => {
                    let listed = NOBODYS.iter().any(|(table, _)| *table == other);
                    assert!(listed, "nothing says whose the rows of {other} are");
                    None
                }
            };
            Table { name, belongs, is_view: row.get(1) }
        })
        .collect()
}

/// What an attempt came to.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// Rows touched.
    Rows(u64),
    /// Refused by a privilege or a policy.
    Denied,
    /// Anything else: the attempt itself is wrong.
    Failed(String),
}

/// Settings of a transaction: name and value.
pub(super) type Settings<'a> = &'a [(&'a str, &'a str)];

/// A connection on which transactions with chosen settings are tried.
pub(super) struct Attempts {
    pub(super) client: Client,
    pub(super) begin: String,
}

impl Attempts {
    pub(super) async fn new(login: &Config, settings: Settings<'_>) -> Self {
        let client = migrate::connect(login).await.unwrap();
        let set = settings.iter().map(|(setting, value)| format!("; set local {setting} = '{value}'"));
        let begin = format!("begin{}", set.collect::<String>());
        Self { client, begin }
    }

    /// A statement in a transaction of its own, ended as told.
    pub(super) async fn run(&self, sql: &str, end: &str) -> Outcome {
        self.client.batch_execute(&self.begin).await.unwrap();
        let outcome = self.client.execute(sql, &[]).await;
        self.client.batch_execute(end).await.unwrap();
        match outcome {
            Ok(rows) => Outcome::Rows(rows),
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Outcome::Denied,
            Err(error) => Outcome::Failed(format!("{sql}: {error:?}")),
        }
    }

    /// How many rows of A, of B and in all a table shows; nothing where it may not be read.
    pub(super) async fn seen(&self, table: &Table) -> Option<(i64, i64, i64)> {
        let (name, a, b) = (&table.name, table.of(A), table.of(B));
        let sql =
            format!("select count(*) filter (where {a}), count(*) filter (where {b}), count(*) from tenantry.{name}");
        self.client.batch_execute(&self.begin).await.unwrap();
        let outcome = self.client.query_one(&sql, &[]).await;
        self.client.batch_execute("rollback").await.unwrap();
        match outcome {
            Ok(row) => Some((row.get(0), row.get(1), row.get(2))),
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => None,
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }
}

/// Columns of a table that a role may update, and whether it may delete.
pub(super) async fn writable(admin: &Client, role: &str, table: &str) -> (Vec<String>, bool) {
    let rows = admin
        .query(
            "select attname::text from pg_attribute
             where attrelid = ('tenantry.' || $2::text)::regclass and attnum > 0 and not attisdropped
               and has_column_privilege($1::text, attrelid, attnum, 'UPDATE')
             order by attnum",
            &[&role, &table],
        )
        .await
        .unwrap();
    let sql = "select has_table_privilege($1::text, 'tenantry.' || $2::text, 'DELETE')";
    let delete = admin.query_one(sql, &[&role, &table]).await.unwrap().get(0);
    (rows.iter().map(|row| row.get(0)).collect(), delete)
}
