//! The closed table of problems: code, status, title, meaning. A new problem is a new line here.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

macro_rules! problems {
    ($($variant:ident, $code:literal, $status:ident, $title:literal, $meaning:literal;)*) => {
        /// What went wrong, as a stable name that programs may compare.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum Code {
            $(
                #[doc = $meaning]
                #[serde(rename = $code)]
                $variant,
            )*
        }

        impl Code {
            /// Every code, in the order of the table: by status, then by name.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The HTTP status that always goes with it.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// A short sentence for people, the same each time.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// When it is answered and what to do about it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

impl utoipa::PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let names = Self::ALL.iter().map(|code| code.name());
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build().into()
    }
}

impl ToSchema for Code {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ProblemCode")
    }
}

problems! {
    ContextMismatch, "context_mismatch", BAD_REQUEST, "Two tenants are named",
        "The context header names one tenant, the path or the body another. Name the same one, or leave the header out.";
    InvalidContextHeader, "invalid_context_header", BAD_REQUEST, "The tenant context cannot be read",
        "A context header is given twice, is no single hyphenated UUID, or does not fit the caller. It is never ignored in favour of the personal tenant.";
    InvalidHeader, "invalid_header", BAD_REQUEST, "A header cannot be read",
        "A header has a value that is not allowed; `detail` names the header and the form it must have.";
    InvalidJson, "invalid_json", BAD_REQUEST, "The body is not JSON",
        "The body could not be parsed as one JSON value; `detail` says where it breaks.";
    InvalidSignature, "invalid_signature", BAD_REQUEST, "The webhook is not from Stripe",
        "The `Stripe-Signature` header is missing, malformed, too old, or was not made with a webhook secret that is configured here. Nothing was stored.";
    PlanChangeNotAllowed, "plan_change_not_allowed", BAD_REQUEST, "The plan cannot be changed this way",
        "The plan is not the kind of change that was asked for: a downgrade was sent to the upgrade, the tenant has this plan already, or the plan has fewer places than the tenant has members.";
    UnknownPlanOrInterval, "unknown_plan_or_interval", BAD_REQUEST, "There is no such plan for this interval",
        "The catalog sells no plan of this id for this billing interval. `GET /api/billing/plans` lists those it sells.";
    Unauthenticated, "unauthenticated", UNAUTHORIZED, "Who is asking is not known",
        "There is no bearer token, or it is expired, revoked, not meant for this service or not signed by a key it trusts. Send `Authorization: Bearer` with a valid token or API key.";
    AuthenticationRequired, "authentication_required", PAYMENT_REQUIRED, "The bank wants the payment confirmed",
        "The card's holder has to confirm the payment on the page at `url`; the change takes effect once that is done.";
    CardDeclined, "card_declined", PAYMENT_REQUIRED, "The card was declined",
        "The payment failed and nothing was changed; `declineCode` is the bank's reason as Stripe tells it.";
    MemberLimitReached, "member_limit_reached", PAYMENT_REQUIRED, "The plan has no place left",
        "The tenant has as many members as its plan allows, so nobody was added. A larger plan has more places; `maxMembers` is what this one has.";
    MetricNotInPlan, "metric_not_in_plan", PAYMENT_REQUIRED, "The plan does not include this metric",
        "The metric exists, but the tenant's plan gives it no quantity. Nothing was recorded.";
    SpendCapExceeded, "spend_cap_exceeded", PAYMENT_REQUIRED, "The spend cap is reached",
        "The event would take what usage of the period costs above a spend cap that the tenant has set. Nothing was recorded; a smaller event may still fit. Whoever manages billing raises the cap with `PUT /api/billing/spend/cap`, or removes it with `DELETE`. `spend` has the figures, for those who may view billing.";
    UsageLimitExceeded, "usage_limit_exceeded", PAYMENT_REQUIRED, "The usage limit is reached",
        "The event would take the period's total above the hard limit of the plan. Nothing was recorded; the figures say how much would still fit.";
    AccountDeleted, "account_deleted", FORBIDDEN, "The account was deleted",
        "The account of the user was deleted. That is for good: its id is never anybody again.";
    EmailNotVerified, "email_not_verified", FORBIDDEN, "The address is not verified",
        "An invitation is accepted with a token whose `email` is verified: `email_verified` is true in it, or the deployment says that its issuer verifies every address. Verify the address and sign in again.";
    ForbiddenTenant, "forbidden_tenant", FORBIDDEN, "Not a member of this tenant",
        "The context header names a tenant or a team that the caller does not belong to, or that does not exist: the two are not told apart.";
    InsufficientPermissions, "insufficient_permissions", FORBIDDEN, "The permission is missing",
        "The caller belongs to the tenant but lacks the permission that this route needs, or the route is not for members of a team.";
    InvitationOfAnother, "invitation_of_another", FORBIDDEN, "The invitation is somebody else's",
        "The invitation was sent to another address than the signed-in user's. Sign in with the address that it was sent to.";
    TeamPlanInactive, "team_plan_inactive", FORBIDDEN, "The team has no plan to share",
        "The team's owner is on the default plan, or has lost the paid one over a payment, so nothing can be used in the team's name. The team and its members stay; it works again once the owner has a plan.";
    NotFound, "not_found", NOT_FOUND, "There is nothing here",
        "The path or the object does not exist for this caller. What belongs to other tenants is answered the same way.";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "The method does not fit the path",
        "The path exists, but not with this method; the `Allow` header lists those it has.";
    ActiveSubscription, "active_subscription", CONFLICT, "A subscription is still active",
        "The tenant has a paid subscription that is still running. Cancel it first.";
    AlreadyMember, "already_member", CONFLICT, "Already a member",
        "The user belongs to the tenant, or to the team, already. A role in a tenant is changed with PATCH.";
    AlreadySubscribed, "already_subscribed", CONFLICT, "The tenant pays for a plan already",
        "A checkout is for tenants without a paid subscription. Upgrade or downgrade the one that is there.";
    CancellationPending, "cancellation_pending", CONFLICT, "The subscription is to end",
        "A cancellation is pending, so the plan cannot be changed. Resume the subscription first.";
    CheckoutRequired, "checkout_required", CONFLICT, "There is no paid subscription",
        "The tenant pays for nothing yet: a plan is bought with a checkout, not changed.";
    Conflict, "conflict", CONFLICT, "The present state does not allow this",
        "Something else changed in between, or the object is in a state that does not allow the request. Read it again and decide anew.";
    HoldNotOpen, "hold_not_open", CONFLICT, "The hold has ended",
        "The hold was committed with another amount, was released, or has expired: `state` says which. Nothing was recorded. What was used all the same is recorded as an event.";
    IdempotencyConflict, "idempotency_conflict", CONFLICT, "The event key was used for another event",
        "An event with this `idempotencyKey` is recorded with another metric, amount or timestamp. Nothing was recorded.";
    IdempotencyInFlight, "idempotency_in_flight", CONFLICT, "The first request is still running",
        "A request with the same `Idempotency-Key` has not been answered yet. Wait and send it again.";
    InvitationLimitReached, "invitation_limit_reached", CONFLICT, "Too many invitations are pending",
        "The tenant has as many pending invitations as it may. Revoke some, or wait until they are accepted or expire.";
    LastOwner, "last_owner", CONFLICT, "An organization keeps an owner",
        "The change would leave the organization without an owner. Make somebody else an owner first. Where an account is to be deleted, `organizations` lists those that would be left without one.";
    NothingToResume, "nothing_to_resume", CONFLICT, "Nothing is pending",
        "Neither a cancellation nor a change of plan is pending that could be taken back.";
    OperationInProgress, "operation_in_progress", CONFLICT, "Another change is under way",
        "Another change of this subscription is not done yet. Wait and send the request again.";
    SlugTaken, "slug_taken", CONFLICT, "The slug is taken",
        "Another organization has the slug that was asked for. Choose another, or leave it out to be given one.";
    TeamLimitReached, "team_limit_reached", CONFLICT, "There are as many as there may be",
        "The owner has as many teams, or the team as many members, as are allowed; `limit` says how many. Delete a team, or remove a member, first.";
    UnbilledUsage, "unbilled_usage", CONFLICT, "Usage is still to be billed",
        "Use of `metrics` above the included quantity is on no invoice yet, so the tenant is not deleted. Wait until its period was billed.";
    InvitationInvalid, "invitation_invalid", GONE, "The invitation cannot be accepted",
        "There is no such invitation, or it was used, revoked or sent anew, has expired, or whoever invited may no longer do so: these are not told apart. Ask for a new one.";
    PayloadTooLarge, "payload_too_large", PAYLOAD_TOO_LARGE, "The body is too large",
        "The body is larger than the server takes. Send it in parts.";
    UnsupportedMediaType, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body has the wrong type",
        "The body must be sent with `Content-Type: application/json`.";
    HoldsNotSupported, "holds_not_supported", UNPROCESSABLE_ENTITY, "The metric cannot be reserved",
        "Quota is reserved of metrics whose total is the sum of their events, and this one is counted in another way. Check it, and record what was used.";
    IdempotencyKeyReused, "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request",
        "The same `Idempotency-Key` came with another body. Use a new key for a new request.";
    TimestampInFuture, "timestamp_in_future", UNPROCESSABLE_ENTITY, "The timestamp lies ahead",
        "The event's timestamp is more than five minutes ahead of the server's clock. Nothing was recorded.";
    TimestampTooOld, "timestamp_too_old", UNPROCESSABLE_ENTITY, "The timestamp is too old",
        "The event belongs to a period that ended longer ago than late events are taken. Nothing was recorded.";
    UnknownMetric, "unknown_metric", UNPROCESSABLE_ENTITY, "The metric is not declared",
        "The plan catalog declares no metric of this name. Nothing was recorded.";
    ValidationFailed, "validation_failed", UNPROCESSABLE_ENTITY, "Something in the request is not allowed",
        "Fields or parameters are missing, unknown, of the wrong type or out of range; `errors` names each.";
    RateLimited, "rate_limited", TOO_MANY_REQUESTS, "Too many requests",
        "The caller asks more often than this route allows. Wait as long as `Retry-After` says.";
    Internal, "internal", INTERNAL_SERVER_ERROR, "The server failed",
        "A fault of the server. Its log has the cause under the `requestId`. A POST with an idempotency key can be repeated safely.";
    StripeRefused, "stripe_refused", BAD_GATEWAY, "Stripe refuses this",
        "Stripe refuses what was asked of it for a reason that the caller cannot mend; the server's log has it. Nothing was changed.";
    CatalogNotPushed, "catalog_not_pushed", SERVICE_UNAVAILABLE, "The plan is not at Stripe yet",
        "The plan has no price at Stripe: the operator has to push the catalog. Nothing was changed.";
    Overloaded, "overloaded", SERVICE_UNAVAILABLE, "The server has too much to do",
        "The queue is full; nothing was done. Send the request again after `Retry-After` seconds.";
    StripeNotConfigured, "stripe_not_configured", SERVICE_UNAVAILABLE, "Billing is off",
        "This deployment has no Stripe account, so nothing can be bought or changed.";
    StripeUnavailable, "stripe_unavailable", SERVICE_UNAVAILABLE, "Stripe is out of reach",
        "Stripe could not be reached. What was asked for is written down and done as soon as it can be; `operationId` tells how it goes.";
    Unavailable, "unavailable", SERVICE_UNAVAILABLE, "Something the server needs is out of reach",
        "The database or the issuer of the tokens cannot be reached. Send the request again after `Retry-After` seconds.";
    Timeout, "timeout", GATEWAY_TIMEOUT, "The request took too long",
        "The server gave up waiting; whether the request took effect is not known. Repeat it with the same idempotency key.";
}

impl Code {
    /// The code of a stable name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// The code for an answer that only has a status: those that the router and its layers make.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthenticated,
            StatusCode::FORBIDDEN => Self::InsufficientPermissions,
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Self::Timeout,
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::PAYLOAD_TOO_LARGE => Self::PayloadTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            StatusCode::SERVICE_UNAVAILABLE => Self::Overloaded,
            status if status.is_client_error() => Self::ValidationFailed,
            _ => Self::Internal,
        }
    }

    /// Seconds after which sending the same request again makes sense, for the codes that say so.
    pub(super) const fn retry_after(self) -> Option<u32> {
        match self {
            Self::IdempotencyInFlight | Self::OperationInProgress | Self::Overloaded | Self::RateLimited => Some(1),
            Self::StripeUnavailable | Self::Unavailable => Some(5),
            _ => None,
        }
    }
}

/// All problems as the Markdown document `docs/problems.md`, which every `type` points into.
pub fn document() -> String {
    use std::fmt::Write as _;
    let mut text = String::from(
        "# Problems\n\n\
         Every refusal is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`, `code` and\n\
         `requestId`; where fields are at fault also `errors: [{field, message}]`, and figures where they help.\n\
         Compare `code`; the texts may change. This document is written from the table in the code.\n",
    );
    let mut status = None;
    for code in Code::ALL {
        if status != Some(code.status()) {
            status = Some(code.status());
            // Writing to a String cannot fail.
            let _ = write!(text, "\n## {}\n", code.status());
        }
        let _ = write!(text, "\n### {}\n\n{}. {}\n", code.name(), code.title(), code.meaning());
    }
    text
}
