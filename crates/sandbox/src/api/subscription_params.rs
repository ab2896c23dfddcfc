//! Parameters that several endpoints about subscriptions share.

use crate::engine::{Behaviour, Change, ItemChange, Prorate, TrialEnd, Work};
use crate::fault::Fault;
use crate::http::{
    Args, Kind, METADATA, Param, anything, boolean, integer, object, objects, one_of, param, text, time, unsupported,
};
use crate::model::{BillingMode, MissingMethod, Time};

pub(super) const BILLING_MODE: Param = object(
    "billing_mode",
    &[
        one_of("type", &["classic", "flexible"]).required(),
        object("flexible", &[one_of("proration_discounts", &["included", "itemized"])]),
    ],
);
pub(super) const PRORATION: Param = one_of("proration_behavior", &["always_invoice", "create_prorations", "none"]);
pub(super) const BEHAVIOR: Param = one_of("payment_behavior", Behaviour::WORDS);
pub(super) const AUTOMATIC_TAX: Param =
    object("automatic_tax", &[boolean("enabled").required(), anything("liability")]);
pub(super) const TRIAL_END: Param = param("trial_end", Kind::TimeOr(&["now"]));

/// Items of a change.
pub(super) const ITEMS: Param = objects(
    "items",
    &[
        text("id"),
        text("price"),
        integer("quantity"),
        boolean("deleted"),
        boolean("clear_usage"),
        METADATA,
        unsupported("tax_rates"),
        unsupported("discounts"),
        unsupported("billing_thresholds"),
    ],
);

/// What creating, changing and previewing a subscription share.
pub(super) const COMMON: &[Param] = &[
    AUTOMATIC_TAX,
    unsupported("add_invoice_items"),
    unsupported("billing_thresholds"),
    boolean("cancel_at_period_end"),
    one_of("collection_method", &["charge_automatically", "send_invoice"]),
    integer("days_until_due"),
    text("default_payment_method"),
    text("default_source"),
    unsupported("default_tax_rates"),
    text("description"),
    unsupported("discounts"),
    anything("invoice_settings"),
    METADATA,
    boolean("off_session"),
    BEHAVIOR,
    object(
        "payment_settings",
        &[
            anything("payment_method_options"),
            anything("payment_method_types"),
            one_of("save_default_payment_method", &["off", "on_subscription"]),
        ],
    ),
    unsupported("pending_invoice_item_interval"),
    PRORATION,
    TRIAL_END,
    boolean("trial_from_plan"),
    object(
        "trial_settings",
        &[object(
            "end_behavior",
            &[one_of("missing_payment_method", &["cancel", "create_invoice", "pause"]).required()],
        )
        .required()],
    ),
];

pub(super) const CANCELLATION: Param = object(
    "cancellation_details",
    &[
        text("comment"),
        one_of(
            "feedback",
            &[
                "customer_service",
                "low_quality",
                "missing_features",
                "other",
                "switched_service",
                "too_complex",
                "too_expensive",
                "unused",
            ],
        ),
    ],
);
pub(super) const PRORATION_DATE: Param = time("proration_date");

pub(super) fn billing_mode(args: &Args) -> BillingMode {
    // The default of 2025-08-27.basil; later versions default to flexible.
    if args.object("billing_mode").is("type", "flexible") { BillingMode::Flexible } else { BillingMode::Classic }
}

pub(super) fn missing_method(args: &Args) -> MissingMethod {
    match args.object("trial_settings").object("end_behavior").text("missing_payment_method") {
        Some("cancel") => MissingMethod::Cancel,
        Some("pause") => MissingMethod::Pause,
        _ => MissingMethod::CreateInvoice,
    }
}

pub(super) fn prorate(args: &Args) -> Prorate {
    match args.text("proration_behavior") {
        Some("none") => Prorate::None,
        Some("always_invoice") => Prorate::AlwaysInvoice,
        _ => Prorate::Create,
    }
}

/// The end of a trial that a change asks for.
pub(super) fn trial_end(args: &Args, now: Time) -> Result<Option<TrialEnd>, Fault> {
    match (args.is("trial_end", "now"), args.integer("trial_end")) {
        (true, _) => Ok(Some(TrialEnd::Now)),
        (false, Some(at)) if at <= now => {
            Err(Fault::invalid("Invalid timestamp: must be in the future, or `now`.").param("trial_end"))
        }
        (false, at) => Ok(at.map(TrialEnd::At)),
    }
}

/// The money part of a change.
pub(super) fn change(work: &Work, args: &Args) -> Result<Change, Fault> {
    Ok(Change {
        items: item_changes(args)?,
        prorate: prorate(args),
        proration_date: args.integer("proration_date"),
        behaviour: Behaviour::of(args.text("payment_behavior")),
        anchor_now: args.is("billing_cycle_anchor", "now"),
        trial_end: trial_end(args, work.now)?,
    })
}

pub(super) fn item_changes(args: &Args) -> Result<Vec<ItemChange>, Fault> {
    let mut changes = Vec::new();
    for (position, item) in args.objects("items").iter().enumerate() {
        if item.integer("quantity").is_some_and(|quantity| quantity < 0) {
            let name = format!("items[{position}][quantity]");
            let message = "Invalid non-negative integer";
            return Err(Fault::invalid(message).code("parameter_invalid_integer").param(name));
        }
        changes.push(ItemChange {
            id: item.owned("id"),
            price: item.owned("price"),
            quantity: item.integer("quantity"),
            deleted: item.boolean("deleted") == Some(true),
            metadata: item.has("metadata").then(|| item.metadata()),
        });
    }
    Ok(changes)
}
