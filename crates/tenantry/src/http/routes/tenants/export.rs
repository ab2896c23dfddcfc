//! `GET /api/tenants/{id}/export`

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use serde_json::{Value, json};
use tenantry_domain::permission::Action;
use uuid::Uuid;

use crate::http::caller::{Caller, Member, permissions_of};
use crate::http::problem::{Code, Problem};
use crate::http::refusals::WriteRefusals;
use crate::http::security;
use crate::http::state::AppState;
use crate::storage::export::{Line, PARTS, Part};
use crate::tenancy::organizations;

/// Lines that are read at once.
const PAGE: i64 = 1000;

/// Export a tenant
///
/// For owners: everything that the tenant has, as lines of JSON (`{"kind": ..., "data": ...}`): the tenant, its members, invitations, teams,
/// keys without secrets, subscriptions, periods, usage events, which months of them were archived, charges, invoices,
/// notifications and audit trail. Each part is read in pages under the caller's rights. The last line is `{"kind": "end", "data": {"lines": n}}`; without it the
/// export was broken off.
#[utoipa::path(
    get, path = "/api/tenants/{id}/export", tag = "tenants", operation_id = "exportTenant",
    params(("id" = Uuid, Path, description = "The tenant")),
    responses((status = 200, description = "Lines of JSON", content_type = "application/x-ndjson", body = String), WriteRefusals),
    security(("bearer" = [])),
)]
pub async fn export(State(state): State<AppState>, member: Member) -> Result<Response, Problem> {
    let Member { caller, tenant_id } = member;
    // Written down before the first line goes out.
    if let Err(error) = organizations::note_export(&state.db, &state.env, caller.actor, tenant_id).await {
        return Err(security::refused(&state, &caller, tenant_id, error).await);
    }
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"tenant-{tenant_id}.ndjson\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(lines(state, caller, tenant_id))).into_response())
}

/// Where an export stands.
struct Place {
    part: usize,
    after: Option<Value>,
    written: u64,
}

/// The pages, each in a transaction of its own: whoever reads slowly holds no connection.
fn lines(state: AppState, caller: Caller, tenant: Uuid) -> impl Stream<Item = io::Result<Bytes>> {
    let start = Place { part: 0, after: None, written: 0 };
    stream::try_unfold(Some(start), move |place| {
        let (state, caller) = (state.clone(), caller.clone());
        async move {
            let Some(place) = place else { return Ok(None) };
            let Some(part) = PARTS.get(place.part) else {
                let end = json!({ "kind": "end", "data": { "lines": place.written } });
                return Ok(Some((Bytes::from(format!("{end}\n")), None)));
            };
            let page = page(&state, &caller, tenant, (part, place.after.as_ref())).await;
            let page = page.map_err(|problem| {
                // The status is sent already: the connection is broken off, and there is no last line.
                tracing::warn!(%tenant, code = problem.code().name(), "an export is broken off");
                io::Error::other(problem.code().title())
            })?;
            let lines = page.iter().map(|line| format!("{}\n", json!({ "kind": part.kind, "data": line.data })));
            let text: Vec<String> = lines.collect();
            let written = place.written + page.len() as u64;
            let next = match page.into_iter().next_back() {
                Some(last) => Place { part: place.part, after: Some(last.place), written },
                None => Place { part: place.part + 1, after: None, written },
            };
            Ok(Some((Bytes::from(text.concat()), Some(next))))
        }
    })
}

/// A page of a part, for a caller who is an owner still.
async fn page(
    state: &AppState,
    caller: &Caller,
    tenant: Uuid,
    (part, after): (&Part, Option<&Value>),
) -> Result<Vec<Line>, Problem> {
    let standing = permissions_of(state, caller, tenant).await?;
    if !standing.is_some_and(|(role, _)| role.is_none_or(|role| role.allows(Action::ExportTenant))) {
        return Err(Problem::new(Code::InsufficientPermissions));
    }
    let tx = caller.read(state, "export_tenant", tenant).await?;
    let page = part.page(&tx, tenant, after, PAGE).await;
    tx.rollback().await?;
    Ok(page?)
}
