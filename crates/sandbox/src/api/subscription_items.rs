//! Items of subscriptions, on their own.

use super::list::page;
use super::subscription_params::{BEHAVIOR, PRORATION, PRORATION_DATE};
use super::{Call, Route, get, post};
use crate::engine::{Behaviour, Change, ItemChange, Work, update as update_now};
use crate::fault::{Answer, Fault};
use crate::http::{METADATA, ONE, PAGE, Param, boolean, integer, text, unsupported};
use crate::model::{Item, Subscription};

const UPDATE: &[Param] = &[
    METADATA,
    boolean("off_session"),
    BEHAVIOR,
    text("price"),
    PRORATION,
    PRORATION_DATE,
    integer("quantity"),
    unsupported("tax_rates"),
    unsupported("discounts"),
];

pub(super) const ROUTES: &[Route] = &[
    get("/v1/subscription_items", &[&[text("subscription").required()], PAGE], list),
    get("/v1/subscription_items/:id", &[ONE], retrieve),
    post("/v1/subscription_items/:id", &[UPDATE, ONE], update),
];

impl crate::engine::Row for Item {
    const NOUN: &'static str = "subscription item";

    fn id(&self) -> &str {
        &self.id
    }
}

fn list(work: &mut Work, call: &Call) -> Answer {
    let id = call.args.text("subscription").unwrap_or_default();
    let subscription = Work::named(&work.state.subscriptions, id, "subscription")?;
    page(call, "/v1/subscription_items", subscription.items.iter(), |item| work.item_json(item, id))
}

fn find(work: &Work, id: &str) -> Result<(Subscription, Item), Fault> {
    let holds = |subscription: &Subscription| {
        let item = subscription.items.iter().find(|item| item.id == id)?;
        Some((subscription.clone(), item.clone()))
    };
    work.state.subscriptions.iter().find_map(holds).ok_or_else(|| Fault::missing("subscription item", id))
}

fn retrieve(work: &mut Work, call: &Call) -> Answer {
    let (subscription, item) = find(work, call.id(0))?;
    Ok(work.item_json(&item, &subscription.id))
}

fn update(work: &mut Work, call: &Call) -> Answer {
    let (subscription, item) = find(work, call.id(0))?;
    let args = &call.args;
    let mut metadata = item.metadata.clone();
    args.put_metadata(&mut metadata);
    let change = Change {
        items: vec![ItemChange {
            id: Some(item.id.clone()),
            price: args.owned("price"),
            quantity: args.integer("quantity"),
            deleted: false,
            metadata: Some(metadata),
        }],
        prorate: super::subscription_params::prorate(args),
        proration_date: args.integer("proration_date"),
        behaviour: Behaviour::of(args.text("payment_behavior")),
        anchor_now: false,
        trial_end: None,
    };
    update_now(work, &subscription.id, &change, |_| {})?;
    retrieve(work, call)
}
