//! What of a tenant's usage is still to be billed.

use uuid::Uuid;

use crate::query;
use crate::storage::row::Column as _;
use crate::storage::tenants::LockedTenant;
use crate::storage::{StoreError, Tx};

query! {
    // Accrued overage is above zero only where the total is above what a plan of one of the segments includes.
    service METRICS = "
        select c.metric
        from tenantry.usage_counters c
        join tenantry.usage_periods p on p.tenant_id = c.tenant_id and p.period_start = c.period_start
        join tenantry.usage_segments s on s.tenant_id = c.tenant_id and s.period_start = c.period_start
        join tenantry.plan_versions v on v.plan_id = s.plan_id and v.version = s.plan_version
        where c.tenant_id = $1 and not c.closed and not p.historic
          and jsonb_typeof(v.definition -> 'metrics' -> c.metric -> 'overage') = 'object'
          and c.total > (v.definition -> 'metrics' -> c.metric -> 'allowance' ->> 'included')::numeric
        union
        select metric from tenantry.overage_charges where tenant_id = $1 and state = 'unbilled'
        order by 1";
}

/// Metrics of a locked tenant with use above the included quantity in an open period, or with charges that are on their
/// way to an invoice. What is carried, since nobody can pay it, is none of them.
pub async fn metrics(tx: &Tx, tenant: &LockedTenant) -> Result<Vec<String>, StoreError> {
    let tenant: Uuid = tenant.id();
    tx.rows(&METRICS, &[&tenant]).await?.iter().map(|row| row.col(0)).collect()
}
