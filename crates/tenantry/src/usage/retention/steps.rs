//! The three steps in which a month leaves. Each may be broken off and done again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::file::{self, Writing, Written};
use super::lease::Lease;
use super::month::Month;
use super::{Retention, RetentionError};
use crate::storage::usage::books;
use crate::storage::usage::commit::set_lock_timeout;
use crate::storage::usage::retention::{self as rows, MonthSums, NewPart};
use crate::storage::{StoreError, Tx};
use crate::write_tx;

/// Tenants that are looked through at once.
const TENANTS_AT_ONCE: i64 = 200;
/// Events that are read at once.
const PAGE: i64 = 1000;
/// Ingest waits behind a lock that is waited for: this long at most, each time.
const LOCK_WAIT: Duration = Duration::from_millis(200);
/// And it has this long for itself before the lock is tried again, longer with each time.
const LOCK_PAUSE: Duration = Duration::from_millis(250);

/// What is staged of a month: the number of events of each tenant that has some, and whether they are in a file.
pub(super) type Staged = BTreeMap<Uuid, (i64, bool)>;

/// How taking a month out ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Detached {
    /// It is out.
    Done,
    /// These are not staged as they are now; nothing was done.
    Changed(Vec<Uuid>),
    /// Somebody read the table all the time; nothing was done.
    Busy,
    /// Something was opened meanwhile that keeps it.
    Obstacle(String),
}

/// A month on its way out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    pub(super) month: Month,
    pub(super) part: i32,
}

impl Retention {
    /// Stages every tenant that has a counter in the month.
    pub(super) async fn stage_all(&self, leaving: Leaving, lease: &mut Lease) -> Result<Staged, RetentionError> {
        let mut staged = Staged::new();
        let mut after = None;
        loop {
            let tx = self.db.read_as_service("list_tenants", &[]).await?;
            let tenants = books::all_tenants(&tx, after, TENANTS_AT_ONCE).await?;
            tx.rollback().await?;
            let Some(last) = tenants.last().copied() else { return Ok(staged) };
            let tx = self.db.read_as_service("usage_marks", &tenants).await?;
            let marks = rows::marks(&tx, leaving.month.start(), &tenants).await?;
            tx.rollback().await?;
            for (tenant, _) in marks {
                self.stage(leaving, tenant, &mut staged).await?;
                lease.keep(&self.db, &self.env).await?;
            }
            after = Some(last);
        }
    }

    /// Stages one tenant: its file is durable before anything says so.
    pub(super) async fn stage(
        &self,
        leaving: Leaving,
        tenant: Uuid,
        staged: &mut Staged,
    ) -> Result<(), RetentionError> {
        let tx = self.db.read_as_service("read_usage_month", &[tenant]).await?;
        let read = self.read(&tx, leaving, tenant).await;
        tx.rollback().await?;
        let Some((mark, sums, file)) = read? else { return Ok(()) };
        let part = NewPart {
            tenant_id: tenant,
            month: leaving.month.start(),
            part: leaving.part,
            sums: &sums,
            file: file.as_ref().map(|(name, digest)| (name.as_str(), *digest)),
            mark: &mark,
        };
        let now = self.env.clock.now();
        let is_staged: Result<bool, StoreError> =
            write_tx!(self.db, "stage_usage_month", &[tenant], |tx| rows::stage(tx, &part, now).await);
        if !is_staged? {
            return Err(RetentionError::Overtaken);
        }
        if sums.event_count > 0 {
            staged.insert(tenant, (sums.event_count, file.is_some()));
        }
        Ok(())
    }

    /// Reads a tenant's month in one snapshot: what it rests on, what it comes to, and its events into a file.
    async fn read(
        &self,
        tx: &Tx,
        Leaving { month, part }: Leaving,
        tenant: Uuid,
    ) -> Result<Option<(String, MonthSums, Option<(String, [u8; 32])>)>, RetentionError> {
        let Some((_, mark)) = rows::marks(tx, month.start(), &[tenant]).await?.pop() else { return Ok(None) };
        let sums = rows::sums(tx, tenant, (month.start(), month.end())).await?;
        let folder = match &self.archive_dir {
            Some(folder) if sums.event_count > 0 => folder,
            _ => return Ok(Some((mark, sums, None))),
        };
        let name = file::name(tenant, month, part);
        let written = write_file(tx, folder, &name, month, tenant).await?;
        if written.lines != sums.event_count {
            let detail = format!("{} lines were written of {} events", written.lines, sums.event_count);
            return Err(StoreError::corrupt("month of usage", detail).into());
        }
        Ok(Some((mark, sums, Some((name, written.digest)))))
    }

    /// Takes a month out. Whoever reads the table holds this up, and this would hold ingest up: so it waits for an
    /// instant only, and tries again.
    pub(super) async fn detach(&self, month: Month) -> Result<Detached, RetentionError> {
        for attempt in 1..=self.lock_tries {
            let detached: Result<Vec<Uuid>, StoreError> = write_tx!(self.db, "detach_usage_month", &[], |tx| {
                set_lock_timeout(tx, LOCK_WAIT).await?;
                rows::detach(tx, month.start()).await
            });
            match detached {
                Ok(changed) if changed.is_empty() => return Ok(Detached::Done),
                Ok(changed) => return Ok(Detached::Changed(changed)),
                Err(error) if is_lock_timeout(&error) || error.is_retryable() => {
                    tracing::debug!(%month, attempt, "a month of usage is read; it is taken out later");
                    if attempt < self.lock_tries {
                        tokio::time::sleep(LOCK_PAUSE * attempt).await;
                    }
                }
                Err(error) if error.state() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => {
                    return Ok(Detached::Obstacle(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Detached::Busy)
    }

    /// Drops the table of a month that was taken out, or says what it holds that was not archived so.
    pub(super) async fn drop_table(&self, leaving: Leaving) -> Result<Option<String>, RetentionError> {
        let dropped: Result<Option<String>, StoreError> = write_tx!(self.db, "drop_usage_month", &[], |tx| {
            rows::drop_detached(tx, leaving.month.start(), leaving.part).await
        });
        Ok(dropped?)
    }
}

async fn write_file(tx: &Tx, folder: &Path, name: &str, month: Month, tenant: Uuid) -> Result<Written, RetentionError> {
    let path = folder.join(name);
    let (at, own) = (folder.to_owned(), name.to_owned());
    let mut writing = on_disk(&path, move || Writing::begin(&at, &own)).await?;
    let mut after = None;
    loop {
        let (lines, last) = rows::events(tx, tenant, (month.start(), month.end()), after.as_ref(), PAGE).await?;
        if last.is_none() {
            return on_disk(&path, move || writing.finish()).await;
        }
        after = last;
        writing = on_disk(&path, move || {
            let mut writing = writing;
            writing.add(&lines)?;
            Ok(writing)
        })
        .await?;
    }
}

/// Compressing and writing is work for other threads than those that answer requests.
async fn on_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, RetentionError> {
    let done = spawn_blocking(work).await.unwrap_or_else(|ended| Err(std::io::Error::other(ended)));
    done.map_err(|source| RetentionError::File { path: PathBuf::from(path), source })
}

fn is_lock_timeout(error: &StoreError) -> bool {
    error.state() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}
