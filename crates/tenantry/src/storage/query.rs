//! SQL statements as named values.
//!
//! tokio-postgres checks nothing at compile time, so every statement registers itself here and a test
//! prepares each one against the migrated schema, under the role that runs it.

/// Which login runs a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// `tenantry_user`: reads for users and tenant keys.
    User,
    /// `tenantry_service`: writes, ingest, workers.
    Service,
    /// Both of them.
    Both,
}

/// One SQL statement. Made by the [`query!`](crate::storage::query!) macro only.
#[derive(Debug)]
pub struct Query {
    /// Module path and constant name; also the comment that the statement starts with.
    pub name: &'static str,
    /// Who runs it.
    pub login: Login,
    /// The statement itself.
    pub sql: &'static str,
}

/// Every statement of the binary.
#[linkme::distributed_slice]
pub static QUERIES: [&'static Query];

/// Declares statements: `query! { service LOCK_TENANT = "select ..."; user LIST = "..."; }`.
///
/// The SQL text gets a comment with its name in front, so that it is recognized in `pg_stat_activity` and logs.
#[macro_export]
macro_rules! query {
    ($($(#[$doc:meta])* $login:ident $name:ident = $sql:literal;)+) => {$(
        $(#[$doc])*
        pub(crate) static $name: $crate::storage::Query = $crate::storage::Query {
            name: concat!(module_path!(), "::", stringify!($name)),
            login: $crate::query!(@login $login),
            sql: concat!("/* ", module_path!(), "::", stringify!($name), " */ ", $sql),
        };
        #[expect(unsafe_code, reason = "registering puts a reference into a section of the binary")]
        const _: () = {
            #[linkme::distributed_slice($crate::storage::QUERIES)]
            static REGISTERED: &$crate::storage::Query = &$name;
        };
    )+};
    (@login user) => { $crate::storage::Login::User };
    (@login service) => { $crate::storage::Login::Service };
    (@login both) => { $crate::storage::Login::Both };
}
