//! The OpenAPI document, made from the handlers.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::problem::ProblemBody;

/// What the handlers do not say themselves.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Tenantry",
        description = "Billing backend for multi-tenant SaaS: tenants, members, plans and exact usage. Quantities are exact decimals in strings; money is integers in minor units of a currency; times are UTC. A request acts in the caller's own tenant unless `X-Organization-Id` (users) or `X-Tenant-Id` (service keys) names another, or `X-Team-Id` a team whose owner's plan is used.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "users", description = "The signed-in user, and what the host application asks about users"),
        (name = "tenants", description = "Personal tenants and organizations"),
        (name = "members", description = "Who belongs where, in which role"),
        (name = "teams", description = "Users who share the subscription of a team's owner: with `X-Team-Id` they use the owner's plan and see where it stands; everything else is the owner's"),
        (name = "keys", description = "API keys"),
        (name = "billing", description = "Plans and subscriptions"),
        (name = "usage", description = "Recording, checking and reporting usage"),
        (name = "notifications", description = "What tenants are told"),
        (name = "webhooks", description = "Webhook endpoints: notices posted and signed after the Standard Webhooks specification, as `{type, timestamp, data}`. An attempt that fails is repeated after 5 s, 5 min, 30 min, and 2, 5, 10, 14, 20 and 24 h; an endpoint that answers 410, or fails for five days, is disabled"),
        (name = "security", description = "Attempts that were refused"),
        (name = "operation", description = "For whoever runs the server"),
    ),
    components(schemas(ProblemBody)),
    modifiers(&Bearer),
)]
pub struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A JWT of the user, or an API key (`tk_...`)"))
            .build();
        document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
