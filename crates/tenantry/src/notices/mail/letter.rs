//! A notice as a letter: subject, text and HTML, made from the typed data.

use askama::Template;
use jiff::Timestamp;
use tenantry_domain::money::Money;

use super::super::data::{
    AccessChanged, Data, LimitRefused, LimitThreshold, PaymentFailed, PlanChanged, Span, TrialEnding, UsageSpendAlert,
    UsageSpendCapped, WebhookEndpointDisabled,
};
use crate::tenancy::security::clean;

/// A mail ready to be sent, but for its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// One line, without control characters.
    pub subject: String,
    /// For those who read text.
    pub text: String,
    /// For all others.
    pub html: String,
}

/// What a letter says, before it has a form.
#[derive(Default)]
struct Content {
    headline: String,
    paragraphs: Vec<String>,
    facts: Vec<(&'static str, String)>,
    action: Option<(&'static str, String)>,
}

#[derive(Template)]
#[template(path = "notices/letter.html")]
struct Html<'a> {
    subject: &'a str,
    headline: &'a str,
    paragraphs: &'a [String],
    facts: &'a [(&'static str, String)],
    action: Option<&'a (&'static str, String)>,
    footer: &'a str,
}

#[derive(Template)]
#[template(path = "notices/letter.txt")]
struct Text<'a> {
    headline: &'a str,
    paragraphs: &'a [String],
    facts: &'a [(&'static str, String)],
    action: Option<&'a (&'static str, String)>,
    footer: &'a str,
}

/// What an invitation says of itself.
#[derive(Clone, Copy)]
pub struct InvitationText<'a> {
    /// The role that waits.
    pub role: &'a str,
    /// First instant at which it can no longer be accepted.
    pub expires_at: Timestamp,
    /// Where it is accepted; none once the token is gone.
    pub url: Option<&'a str>,
}

impl Letter {
    /// Writes the letter about a notice to a tenant of this name.
    pub fn about(data: &Data, tenant: &str) -> Result<Self, askama::Error> {
        let tenant = &clean(tenant);
        Self::with(&content(data), tenant, &format!("You get this because you look after the billing of {tenant}."))
    }

    /// Writes the letter that invites somebody into a tenant of this name.
    pub fn invitation(invitation: InvitationText<'_>, tenant: &str) -> Result<Self, askama::Error> {
        let tenant = &clean(tenant);
        let footer = format!(
            "You get this because somebody at {tenant} entered this address. If you expected no invitation, do nothing."
        );
        Self::with(&invited(invitation, tenant), tenant, &footer)
    }

    fn with(content: &Content, tenant: &str, footer: &str) -> Result<Self, askama::Error> {
        let Content { headline, paragraphs, facts, action } = content;
        let subject = format!("{tenant}: {headline}");
        let text = Text { headline, paragraphs, facts, action: action.as_ref(), footer }.render()?;
        let html = Html { subject: &subject, headline, paragraphs, facts, action: action.as_ref(), footer }.render()?;
        Ok(Self { subject, text, html })
    }
}

fn invited(invitation: InvitationText<'_>, tenant: &str) -> Content {
    let role = invitation.role.replace('_', " ");
    Content {
        headline: "You are invited".to_owned(),
        paragraphs: vec![
            format!("You are invited to join {tenant}. Sign in with this address to accept."),
            "The link is for you alone and works once.".to_owned(),
        ],
        facts: vec![("Organization", tenant.to_owned()), ("Role", role), ("Valid until", date(invitation.expires_at))],
        action: link("Accept the invitation", invitation.url),
    }
}

fn content(data: &Data) -> Content {
    match data {
        Data::PaymentSucceeded(paid) => Content {
            headline: format!("Payment of {} received", paid.amount),
            paragraphs: vec!["Thank you. The payment for the invoice below was received.".to_owned()],
            facts: invoice(paid.amount, paid.period, paid.invoice_number.as_deref()),
            action: link("See the invoice", paid.invoice_url.as_deref()),
        },
        Data::PaymentFailed(failed) => payment_failed(failed),
        Data::TrialEnding(trial) => trial_ending(trial),
        Data::PlanChanged(changed) => plan_changed(changed),
        Data::SubscriptionCanceled(ended) => {
            let (plan, now_on) = (clean(&ended.plan.name), clean(&ended.now_on.name));
            let paragraphs = vec![format!("The subscription has ended. The plan is {now_on} from now on.")];
            let facts = vec![("Ended", plan.clone()), ("Now", now_on), ("Since", date(ended.ended_at))];
            Content { headline: format!("The subscription to {plan} has ended"), paragraphs, facts, action: None }
        }
        Data::CancellationScheduled(scheduled) => {
            let plan = clean(&scheduled.plan.name);
            let paragraphs = vec!["Until then nothing changes, and the cancellation can be taken back.".to_owned()];
            let facts = vec![("Plan", plan.clone()), ("Ends", date(scheduled.ends_at))];
            Content { headline: format!("The subscription to {plan} will end"), paragraphs, facts, action: None }
        }
        Data::AccessChanged(changed) => access_changed(changed),
        Data::LimitThreshold(threshold) => limit_threshold(threshold),
        Data::LimitRefused(refused) => limit_refused(refused),
        Data::UsageSpendAlert(alert) => spend_alert(alert),
        Data::UsageSpendCapped(capped) => spend_capped(capped),
        Data::OverageCarried(carried) => Content {
            headline: format!("Overage of {} is still due", carried.amount),
            paragraphs: vec!["It could not be charged. It is added to the next invoice that is paid.".to_owned()],
            facts: invoice(carried.amount, carried.period, None),
            action: None,
        },
        Data::TaxLocationMissing(missing) => Content {
            headline: "An invoice waits for the billing address".to_owned(),
            paragraphs: vec![
                "Tax for the invoice below cannot be computed: the billing address is missing or incomplete."
                    .to_owned(),
                "Complete the billing address, and the invoice is issued.".to_owned(),
            ],
            facts: invoice(missing.amount, missing.period, missing.invoice_number.as_deref()),
            action: None,
        },
        Data::WebhookEndpointDisabled(disabled) => endpoint_disabled(disabled),
        Data::Test(_) => Content { headline: "A test".to_owned(), ..Content::default() },
    }
}

fn payment_failed(failed: &PaymentFailed) -> Content {
    let mut paragraphs = vec!["The payment for the invoice below failed.".to_owned()];
    paragraphs.push(match failed.next_attempt_at {
        Some(at) => format!("It is tried again on {}.", date(at)),
        None => "It is not tried again by itself.".to_owned(),
    });
    if let Some(until) = failed.access_until {
        paragraphs.push(format!("Until {} the plan can be used as before.", date(until)));
    }
    Content {
        headline: format!("Payment of {} failed", failed.amount),
        paragraphs,
        facts: invoice(failed.amount, failed.period, failed.invoice_number.as_deref()),
        action: link("Pay the invoice", failed.invoice_url.as_deref()),
    }
}

fn trial_ending(trial: &TrialEnding) -> Content {
    let (plan, end) = (clean(&trial.plan.name), date(trial.trial_end));
    let then = match trial.amount {
        Some(amount) => format!("Then {amount} is charged, and the plan goes on."),
        None => "No payment method is known, so the plan ends with the trial. Add one to keep it.".to_owned(),
    };
    let mut facts = vec![("Plan", plan.clone()), ("Trial ends", end)];
    facts.extend(trial.amount.map(|amount| ("Amount", amount.to_string())));
    Content { headline: format!("The trial of {plan} ends soon"), paragraphs: vec![then], facts, action: None }
}

fn plan_changed(changed: &PlanChanged) -> Content {
    let (from, to) = (clean(&changed.from.name), clean(&changed.to.name));
    let mut facts = vec![("Before", from), ("Now", to.clone()), ("Since", date(changed.effective_at))];
    facts.extend(changed.charged.map(|amount| ("Charged", amount.to_string())));
    facts.extend(changed.period.map(|period| ("Period", span(period))));
    let paragraphs = vec![format!("The plan is {to} from now on.")];
    Content { headline: format!("The plan is now {to}"), paragraphs, facts, action: None }
}

fn access_changed(changed: &AccessChanged) -> Content {
    let (plan, limits) = (clean(&changed.plan.name), clean(&changed.limits.name));
    let (headline, why) = if changed.is_narrowed() {
        let why = format!("A payment is overdue. Until it is made, the limits are those of {limits}.");
        (format!("The limits are reduced to those of {limits}"), why)
    } else {
        (format!("{plan} can be used in full again"), "Nothing is overdue any more.".to_owned())
    };
    let facts = vec![("Plan", plan), ("Limits of", limits), ("Since", date(changed.since))];
    Content { headline, paragraphs: vec![why], facts, action: None }
}

fn endpoint_disabled(disabled: &WebhookEndpointDisabled) -> Content {
    let why = if disabled.is_gone {
        "The endpoint below answered that it is gone (410), so it gets no more webhooks."
    } else {
        "Nothing could be delivered to the endpoint below for days, so it gets no more webhooks."
    };
    let next = "Once it works, enable it again and replay what it missed.";
    Content {
        headline: "A webhook endpoint was disabled".to_owned(),
        paragraphs: vec![why.to_owned(), next.to_owned()],
        facts: vec![("Endpoint", clean(&disabled.url)), ("Failing since", date(disabled.failing_since))],
        action: None,
    }
}

fn limit_threshold(threshold: &LimitThreshold) -> Content {
    let metric = clean(&threshold.metric);
    let what = match (threshold.allow_overages, threshold.percent >= 100) {
        (true, false) => "What is used beyond the included quantity is charged as overage.",
        (true, true) => "What is used from here on is charged as overage.",
        (false, false) => "What is used beyond the limit is refused.",
        (false, true) => "What is used beyond it is refused until the next period.",
    };
    let label = if threshold.allow_overages { "Included" } else { "Limit" };
    Content {
        headline: format!("{} % of {metric} used", threshold.percent),
        paragraphs: vec![what.to_owned()],
        facts: vec![
            ("Metric", metric),
            ("Used", threshold.total.to_string()),
            (label, threshold.limit.to_string()),
            ("Period", span(threshold.period)),
        ],
        action: None,
    }
}

fn limit_refused(refused: &LimitRefused) -> Content {
    let metric = clean(&refused.metric);
    Content {
        headline: format!("Usage of {metric} was refused"),
        paragraphs: vec![
            "Usage was refused because it would have exceeded the plan's limit. More may be refused in this period."
                .to_owned(),
        ],
        facts: vec![
            ("Metric", metric),
            ("Used", refused.total.to_string()),
            ("Limit", refused.limit.to_string()),
            ("Period", span(refused.period)),
        ],
        action: None,
    }
}

fn spend_alert(alert: &UsageSpendAlert) -> Content {
    let metric = alert.metric.as_deref().map(clean);
    let what = metric.as_ref().map_or_else(|| "Usage".to_owned(), |metric| format!("Usage of {metric}"));
    let mut facts = vec![("Alert at", alert.amount.to_string()), ("Accrued", alert.accrued.to_string())];
    facts.extend(metric.map(|metric| ("Metric", metric)));
    facts.push(("Period", span(alert.period)));
    Content {
        headline: format!("{what} has reached {}", alert.amount),
        paragraphs: vec![
            "This is what use above the included quantities costs in this period so far. The price of the plan is not \
             in it. More use is accepted."
                .to_owned(),
        ],
        facts,
        action: None,
    }
}

fn spend_capped(capped: &UsageSpendCapped) -> Content {
    let metric = capped.metric.as_deref().map(clean);
    let what = metric.as_ref().map_or_else(|| "usage".to_owned(), |metric| format!("usage of {metric}"));
    let mut facts = vec![("Cap", capped.cap.to_string()), ("Accrued", capped.accrued.to_string())];
    facts.extend(metric.map(|metric| ("Metric", metric)));
    facts.push(("Period", span(capped.period)));
    Content {
        headline: format!("The spend cap of {} for {what} is reached", capped.cap),
        paragraphs: vec![
            "Usage that would cost more than the cap allows is refused until the next period. What the plan includes \
             can still be used."
                .to_owned(),
            "Raise the cap or remove it, and more is accepted at once.".to_owned(),
        ],
        facts,
        action: None,
    }
}

fn invoice(amount: Money, period: Span, number: Option<&str>) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Amount", amount.to_string()), ("Period", span(period))];
    facts.extend(number.map(|number| ("Invoice", clean(number))));
    facts
}

/// A button, where the URL is one that a browser opens as a page.
fn link(label: &'static str, url: Option<&str>) -> Option<(&'static str, String)> {
    let url = url::Url::parse(url?).ok().filter(|url| ["https", "http"].contains(&url.scheme()))?;
    Some((label, url.to_string()))
}

/// `15 March 2026, 12:00 UTC`
fn date(at: Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M UTC").to_string()
}

fn span(span: Span) -> String {
    format!("{} to {}", date(span.start), date(span.end))
}
