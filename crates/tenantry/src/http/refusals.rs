//! The refusals of routes, as sets that a route's documentation names.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::problem::{CONTENT_TYPE, Code};

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = [$($code:ident),*];)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                responses(&[$(Code::$code),*])
            }
        }
    )*};
}

refusals! {
    /// Of every route that reads something of a tenant's.
    ReadRefusals = [
        InvalidContextHeader, ContextMismatch, Unauthenticated, AccountDeleted, ForbiddenTenant,
        InsufficientPermissions, NotFound, ValidationFailed, RateLimited, Internal, Unavailable, Timeout
    ];
    /// Of reading what members of a team see, too.
    SharedRefusals = [
        InvalidContextHeader, ContextMismatch, Unauthenticated, AccountDeleted, ForbiddenTenant,
        InsufficientPermissions, TeamPlanInactive, NotFound, ValidationFailed, RateLimited, Internal, Unavailable,
        Timeout
    ];
    /// Of changing teams and who is in them.
    TeamRefusals = [
        InvalidContextHeader, ContextMismatch, InvalidJson, InvalidHeader, Unauthenticated, AccountDeleted,
        InsufficientPermissions, ForbiddenTenant, NotFound, AlreadyMember, Conflict, IdempotencyInFlight,
        TeamLimitReached, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, ValidationFailed, RateLimited,
        Internal, Unavailable, Timeout
    ];
    /// Of reading usage.
    UsageReadRefusals = [
        InvalidContextHeader, ContextMismatch, Unauthenticated, AccountDeleted, ForbiddenTenant,
        InsufficientPermissions, TeamPlanInactive, NotFound, UnknownMetric, ValidationFailed, RateLimited, Internal,
        Overloaded, Unavailable, Timeout
    ];
    /// Of every route that changes something of a tenant's.
    WriteRefusals = [
        InvalidContextHeader, ContextMismatch, InvalidJson, InvalidHeader, Unauthenticated, AccountDeleted,
        ForbiddenTenant, InsufficientPermissions, NotFound, Conflict, IdempotencyInFlight, LastOwner, AlreadyMember,
        SlugTaken, ActiveSubscription, UnbilledUsage, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused,
        ValidationFailed, RateLimited, Internal, Unavailable, Timeout
    ];
    /// Of every route that changes invitations.
    InvitationRefusals = [
        InvalidContextHeader, ContextMismatch, InvalidJson, InvalidHeader, Unauthenticated, AccountDeleted,
        ForbiddenTenant, InsufficientPermissions, NotFound, Conflict, IdempotencyInFlight, InvitationLimitReached,
        PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, ValidationFailed, RateLimited, Internal,
        Unavailable, Timeout
    ];
    /// Of accepting an invitation.
    AcceptRefusals = [
        InvalidContextHeader, InvalidJson, InvalidHeader, Unauthenticated, AccountDeleted, MemberLimitReached,
        EmailNotVerified, InsufficientPermissions, InvitationOfAnother, AlreadyMember, IdempotencyInFlight,
        InvitationInvalid, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, ValidationFailed, RateLimited,
        Internal, Unavailable, Timeout
    ];
    /// Beside others, of adding a member.
    PlaceRefusals = [MemberLimitReached];
    /// Of every route that asks for something that needs Stripe.
    BillingRefusals = [
        InvalidContextHeader, ContextMismatch, InvalidJson, InvalidHeader, PlanChangeNotAllowed,
        UnknownPlanOrInterval, Unauthenticated, AuthenticationRequired, CardDeclined, AccountDeleted, ForbiddenTenant,
        InsufficientPermissions, NotFound, AlreadySubscribed, CancellationPending, CheckoutRequired, Conflict,
        IdempotencyInFlight, NothingToResume, OperationInProgress, PayloadTooLarge, UnsupportedMediaType,
        IdempotencyKeyReused, ValidationFailed, RateLimited, Internal, StripeRefused, CatalogNotPushed,
        StripeNotConfigured, StripeUnavailable, Unavailable, Timeout
    ];
    /// Of changing spend caps and alerts.
    SpendRefusals = [
        InvalidContextHeader, ContextMismatch, InvalidJson, InvalidHeader, Unauthenticated, AccountDeleted,
        ForbiddenTenant, InsufficientPermissions, NotFound, Conflict, IdempotencyInFlight, PayloadTooLarge,
        UnsupportedMediaType, IdempotencyKeyReused, UnknownMetric, ValidationFailed, RateLimited, Internal,
        Unavailable, Timeout
    ];
    /// Of the webhook that Stripe calls.
    WebhookRefusals = [
        InvalidSignature, InvalidJson, PayloadTooLarge, Internal, StripeNotConfigured, Unavailable, Timeout
    ];
    /// Of recording usage.
    UsageRefusals = [
        InvalidContextHeader, InvalidJson, Unauthenticated, UsageLimitExceeded, MetricNotInPlan, SpendCapExceeded,
        AccountDeleted,
        ForbiddenTenant, InsufficientPermissions, TeamPlanInactive, IdempotencyConflict, PayloadTooLarge,
        UnsupportedMediaType, UnknownMetric, TimestampTooOld, TimestampInFuture, ValidationFailed, RateLimited,
        Internal, Overloaded, Unavailable, Timeout
    ];
    /// Of previewing usage.
    UsagePreviewRefusals = [
        InvalidContextHeader, InvalidJson, Unauthenticated, AccountDeleted, ForbiddenTenant, InsufficientPermissions,
        PayloadTooLarge, UnsupportedMediaType, ValidationFailed, RateLimited, Internal, Unavailable, Timeout
    ];
    /// Of taking and settling holds.
    HoldRefusals = [
        InvalidContextHeader, InvalidJson, InvalidHeader, Unauthenticated, UsageLimitExceeded, MetricNotInPlan, SpendCapExceeded,
        AccountDeleted, ForbiddenTenant, InsufficientPermissions, TeamPlanInactive, NotFound, HoldNotOpen,
        IdempotencyConflict, IdempotencyInFlight, PayloadTooLarge, UnsupportedMediaType, HoldsNotSupported,
        IdempotencyKeyReused, TimestampTooOld, UnknownMetric, ValidationFailed, RateLimited, Internal, Unavailable,
        Timeout
    ];
    /// Of routes that anybody may ask.
    OpenRefusals = [Internal, Unavailable, Timeout];
}

fn responses(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(*code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| {
            let lines: Vec<String> = codes.iter().map(|code| format!("`{}`: {}", code.name(), code.title())).collect();
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let response = ResponseBuilder::new().description(lines.join("; ")).content(CONTENT_TYPE, content).build();
            (status.to_string(), RefOr::T(response))
        })
        .collect()
}
