//! Rows of `users`: people as the identity provider names them.

use jiff::Timestamp;
use uuid::Uuid;

use super::row::Column as _;
use super::{StoreError, Tx};
use crate::query;

/// A user as the first statement of a request sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownUser {
    /// E-mail address as the token or the host application last gave it.
    pub email: Option<String>,
    /// The personal tenant exists, and with it the membership and the subscription.
    pub has_personal_tenant: bool,
}

query! {
    service KNOWN = "
        select u.email, exists (select from tenantry.tenants t where t.id = u.id and t.type = 'user')
        from tenantry.users u where u.id = $1";
    // A conflict locks the row also where nothing is changed: twenty first requests of a user stand in line here.
    service UPSERT = "
        insert into tenantry.users as u (id, email, created_at, updated_at) values ($1, $2, $3, $3)
        on conflict (id) do update set email = excluded.email, updated_at = excluded.updated_at
        where excluded.email is not null and u.email is distinct from excluded.email";
    service EXISTING = "select id from tenantry.users where id = any ($1)";
    both EMAIL = "select email from tenantry.users where id = $1";
}

/// What is known of a user. The transaction must be opened for the user's personal tenant (the same id).
pub async fn known(tx: &Tx, user: Uuid) -> Result<Option<KnownUser>, StoreError> {
    tx.opt(&KNOWN, &[&user])
        .await?
        .map(|row| Ok(KnownUser { email: row.col(0)?, has_personal_tenant: row.col(1)? }))
        .transpose()
}

/// Makes the user, or takes over a changed e-mail address (a missing one changes nothing). Locks the row.
pub async fn upsert(tx: &Tx, user: Uuid, email: Option<&str>, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(&UPSERT, &[&user, &email, &now]).await?;
    Ok(())
}

/// Those of the ids that are users.
pub async fn existing(tx: &Tx, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    tx.rows(&EXISTING, &[&ids]).await?.iter().map(|row| row.col(0)).collect()
}

/// The e-mail address of a user that the transaction may see.
pub async fn email(tx: &Tx, user: Uuid) -> Result<Option<String>, StoreError> {
    tx.opt(&EMAIL, &[&user]).await?.map_or(Ok(None), |row| row.col(0))
}
