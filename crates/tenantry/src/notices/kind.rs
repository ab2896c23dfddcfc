//! The kinds of notices: a closed list, under the names that the database, webhooks and people know.

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $kind:literal, $event:literal;)*) => {
        /// What a notice is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As stored.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $kind,)* }
            }

            /// The `type` of its webhooks.
            pub const fn event_type(self) -> &'static str {
                match self { $(Self::$variant => $event,)* }
            }
        }
    };
}

kinds! {
    /// An invoice was paid. Once per invoice.
    PaymentSucceeded = "payment_succeeded", "payment.succeeded";
    /// A payment failed. Once per invoice and attempt.
    PaymentFailed = "payment_failed", "payment.failed";
    /// A trial ends soon. Once per trial.
    TrialEnding = "trial_ending", "trial.ending";
    /// Another plan is in force. Once per change.
    PlanChanged = "plan_changed", "plan.changed";
    /// A paid subscription has ended. Once per subscription.
    SubscriptionCanceled = "subscription_canceled", "subscription.canceled";
    /// A paid subscription will end with its period. Once per decision.
    CancellationScheduled = "cancellation_scheduled", "cancellation.scheduled";
    /// What the tenant may use changed because of its payment status, down or up again. Once per change.
    AccessChanged = "access_changed", "access.changed";
    /// Usage passed 80 or 100 percent of what the plan allows or includes. Once per metric, threshold and period.
    LimitThreshold = "limit_threshold", "limit.threshold";
    /// Usage was refused for the limit. Once per metric and period.
    LimitRefused = "limit_refused", "limit.refused";
    /// What usage of a period costs reached an amount that the tenant wants to be told of. Once per alert and period.
    UsageSpendAlert = "usage_spend_alert", "usage.spend_alert";
    /// What usage of a period costs reached the tenant's cap, or usage was refused for it. Once per cap, amount and
    /// period.
    UsageSpendCapped = "usage_spend_capped", "usage.spend_capped";
    /// Overage could not be charged and waits for the next paid invoice. Once per period.
    OverageCarried = "overage_carried", "overage.carried";
    /// Tax cannot be computed until the tenant says where it is. Once per invoice.
    TaxLocationMissing = "tax_location_missing", "tax_location.missing";
    /// A webhook endpoint was disabled because it did not answer. Once each time.
    WebhookEndpointDisabled = "webhook_endpoint_disabled", "webhook_endpoint.disabled";
    /// Somebody tries a webhook endpoint out. To that endpoint only, never by mail.
    Test = "test", "test";
}

impl Kind {
    /// The kind of a stored name; none where a newer version wrote it.
    pub fn parse(stored: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == stored)
    }

    /// The kind whose webhooks have this `type`, of those that an endpoint can ask for.
    pub fn of_event_type(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.event_type() == text && *kind != Self::Test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
            assert_eq!(kind.event_type().replace('.', "_"), kind.as_str());
            let askable = (*kind != Kind::Test).then_some(*kind);
            assert_eq!(Kind::of_event_type(kind.event_type()), askable);
        }
        assert_eq!(Kind::parse("payment.failed"), None);
    }
}
