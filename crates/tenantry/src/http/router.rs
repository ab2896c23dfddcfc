//! Which route is answered by which file, and the layers around them all.

use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::{Router, routing};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::around::{Around, around};
use super::openapi::Document;
use super::problem::{Problem, panic_response};
use super::routes::{
    billing, invitations, keys, members, notifications, ops, security, teams, tenants, usage, users, webhook_endpoints,
    webhooks,
};
use super::state::AppState;

/// What the deployment decides about requests.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes that a body may have.
    pub body_bytes: usize,
    /// How long a request may take.
    pub timeout: Duration,
}

fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(users::me::me))
        .routes(routes!(users::provision::provision, users::delete::delete))
        .routes(routes!(users::delete_me::delete_me))
        .routes(routes!(users::check_permission::check_permission))
        .routes(routes!(tenants::create::create, tenants::list::list))
        .routes(routes!(tenants::get::get, tenants::patch::patch, tenants::delete::delete))
        .routes(routes!(tenants::export::export))
        .routes(routes!(tenants::leave::leave))
        .routes(routes!(tenants::transfer_ownership::transfer_ownership))
        .routes(routes!(members::add::add, members::list::list))
        .routes(routes!(members::change::change, members::remove::remove))
        .routes(routes!(invitations::create::create, invitations::list::list))
        .routes(routes!(invitations::revoke::revoke))
        .routes(routes!(invitations::resend::resend))
        .routes(routes!(invitations::accept::accept))
        .routes(routes!(teams::create::create, teams::list::list))
        .routes(routes!(teams::get::get, teams::patch::patch, teams::delete::delete))
        .routes(routes!(teams::add_member::add_member, teams::members::members))
        .routes(routes!(teams::remove_member::remove_member))
        .routes(routes!(teams::leave::leave))
        .routes(routes!(keys::create::create, keys::list::list))
        .routes(routes!(keys::revoke::revoke))
        .routes(routes!(keys::rotate::rotate))
        .routes(routes!(billing::plans::plans))
        .routes(routes!(billing::subscription::subscription))
        .routes(routes!(billing::invoices::invoices))
        .routes(routes!(billing::events::events))
        .routes(routes!(billing::charges::charges))
        .routes(routes!(billing::explain::explain))
        .routes(routes!(billing::checkout::checkout))
        .routes(routes!(billing::preview::preview))
        .routes(routes!(billing::upgrade::upgrade))
        .routes(routes!(billing::downgrade::downgrade))
        .routes(routes!(billing::cancel::cancel))
        .routes(routes!(billing::resume::resume))
        .routes(routes!(billing::portal::portal))
        .routes(routes!(billing::operation::operation))
        .routes(routes!(billing::spend::get::get))
        .routes(routes!(billing::spend::set_cap::set_cap, billing::spend::remove_cap::remove_cap))
        .routes(routes!(billing::spend::add_alert::add_alert))
        .routes(routes!(billing::spend::remove_alert::remove_alert))
        .routes(routes!(webhooks::stripe::receive))
        .routes(routes!(usage::record::record, usage::total::total))
        .routes(routes!(usage::preview::preview))
        .routes(routes!(usage::check::check))
        .routes(routes!(usage::report::report))
        .routes(routes!(usage::holds::create::create, usage::holds::list::list))
        .routes(routes!(usage::holds::get::get))
        .routes(routes!(usage::holds::commit::commit))
        .routes(routes!(usage::holds::release::release))
        .routes(routes!(notifications::list::list))
        .routes(routes!(security::events::events))
        .routes(routes!(webhook_endpoints::create::create, webhook_endpoints::list::list))
        .routes(routes!(
            webhook_endpoints::get::get,
            webhook_endpoints::patch::patch,
            webhook_endpoints::delete::delete
        ))
        .routes(routes!(webhook_endpoints::rotate_secret::rotate_secret))
        .routes(routes!(webhook_endpoints::test::test))
        .routes(routes!(webhook_endpoints::deliveries::deliveries))
        .routes(routes!(webhook_endpoints::replay::replay))
        .routes(routes!(ops::healthz::healthz))
        .routes(routes!(ops::readyz::readyz))
}

/// The OpenAPI document of this server.
pub fn document() -> utoipa::openapi::OpenApi {
    api().split_for_parts().1
}

/// The whole server. `metrics` renders the figures for Prometheus; without it there is no such route.
pub fn router(
    state: AppState,
    limits: Limits,
    metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
) -> Router {
    let env = state.env.clone();
    let (api, document) = api().split_for_parts();
    let mut router = api
        .merge(ops::docs::routes(document))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { StatusCode::METHOD_NOT_ALLOWED });
    if let Some(handle) = metrics {
        router = router.route("/metrics", routing::get(ops::metrics::metrics).layer(axum::Extension(handle)));
    }
    // All in one layer, for the reason that `around` is one.
    router
        .layer(
            ServiceBuilder::new()
                .layer(from_fn_with_state(Around::new(env), around))
                .layer(CatchPanicLayer::custom(panic_response))
                .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, limits.timeout))
                .layer(DefaultBodyLimit::max(limits.body_bytes)),
        )
        .with_state(state)
}
