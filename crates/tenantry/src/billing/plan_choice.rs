//! Which change of plan is which: what is bought, what goes up, what goes down. Pure.

use tenantry_domain::plan::Plan;

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The plan.
    pub plan_id: String,
    /// `month` or `year`; none leaves it as it is (of a purchase: `month`).
    pub interval: Option<String>,
}

/// What a tenant has.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The plan.
    pub plan_id: String,
    /// `month` or `year`.
    pub interval: String,
    /// It pays for it through Stripe.
    pub is_paid: bool,
    /// It paid for a plan before.
    pub ever_paid: bool,
    /// It ends at some instant.
    pub cancel_pending: bool,
    /// Another plan is to come.
    pub change_pending: bool,
    /// How many members it has.
    pub members: u64,
}

/// A plan and how often it is paid.
#[derive(Debug, Clone, Copy)]
struct Choice<'a> {
    plan: &'a Plan,
    interval: &'a str,
}

/// A plan that can be had.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The plan.
    pub plan: Plan,
    /// `month` or `year`.
    pub interval: String,
}

/// Why a plan cannot be had, or not this way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such plan, or no price for the interval.
    #[error("there is no price of the plan {plan_id:?} for the interval {interval:?}")]
    UnknownPlanOrInterval {
        /// What was asked for.
        plan_id: String,
        /// What was asked for.
        interval: String,
    },
    /// The tenant pays for nothing yet.
    #[error("the tenant has no paid subscription: buy one with a checkout")]
    CheckoutRequired,
    /// The tenant pays for a plan already.
    #[error("the tenant has a paid subscription: upgrade or downgrade it")]
    AlreadySubscribed,
    /// The plan has fewer places than the tenant has members.
    #[error("the plan {plan_id} has places for {places} members, and the tenant has {members}: remove some first")]
    TooManyMembers {
        /// The plan.
        plan_id: String,
        /// Members that it allows.
        places: u32,
        /// Members that there are.
        members: u64,
    },
    /// It is not the change that was asked for.
    #[error("{0}")]
    NotAllowed(String),
    /// A cancellation is pending.
    #[error("the subscription is to end: resume it first")]
    CancellationPending,
}

fn price<'a>(plans: &'a [Plan], wish: &'a Wish, default: &'a str) -> Result<Choice<'a>, Refused> {
    let interval = wish.interval.as_deref().unwrap_or(default);
    let found = plans.iter().find(|plan| plan.id.as_str() == wish.plan_id).filter(|plan| has_price(plan, interval));
    found
        .map(|plan| Choice { plan, interval })
        .ok_or_else(|| Refused::UnknownPlanOrInterval { plan_id: wish.plan_id.clone(), interval: interval.to_owned() })
}

/// Whether a plan is sold for an interval.
pub fn has_price(plan: &Plan, interval: &str) -> bool {
    plan.prices.is_some_and(|prices| match interval {
        "month" => prices.month.is_some(),
        "year" => prices.year.is_some(),
        _ => false,
    })
}

impl From<Choice<'_>> for Chosen {
    fn from(choice: Choice<'_>) -> Self {
        Self { plan: choice.plan.clone(), interval: choice.interval.to_owned() }
    }
}

/// A plan to be bought by who pays for none.
pub fn checkout(plans: &[Plan], present: &Present, wish: &Wish) -> Result<Chosen, Refused> {
    if present.is_paid {
        return Err(Refused::AlreadySubscribed);
    }
    let wanted = price(plans, wish, "month")?;
    fits(wanted.plan, present)?;
    Ok(wanted.into())
}

/// Refuses another plan with fewer places than there are members. Invitations that are not accepted take no place.
fn fits(plan: &Plan, present: &Present) -> Result<(), Refused> {
    match plan.max_members {
        Some(places) if plan.id.as_str() != present.plan_id && present.members > u64::from(places) => {
            Err(Refused::TooManyMembers { plan_id: plan.id.to_string(), places, members: present.members })
        }
        _ => Ok(()),
    }
}

/// Refuses who pays for nothing.
pub fn paid(present: &Present) -> Result<(), Refused> {
    if present.is_paid { Ok(()) } else { Err(Refused::CheckoutRequired) }
}

/// Where a change leads: up, down, or nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
    Nowhere,
}

/// Up is a higher rank, or years instead of months of the same plan.
fn direction(plans: &[Plan], present: &Present, wanted: Choice<'_>) -> Direction {
    if wanted.plan.id.as_str() == present.plan_id {
        return match (present.interval.as_str(), wanted.interval) {
            ("month", "year") => Direction::Up,
            ("year", "month") => Direction::Down,
            _ => Direction::Nowhere,
        };
    }
    // A plan that left the catalog is below all that are in it: everything can be changed to.
    let rank = plans.iter().find(|plan| plan.id.as_str() == present.plan_id).map(|plan| plan.rank);
    match rank {
        Some(rank) if wanted.plan.rank < rank => Direction::Down,
        _ => Direction::Up,
    }
}

/// A higher plan for who pays for one.
pub fn upgrade(plans: &[Plan], present: &Present, wish: &Wish) -> Result<Chosen, Refused> {
    paid(present)?;
    let wanted = price(plans, wish, &present.interval)?;
    match direction(plans, present, wanted) {
        Direction::Up if present.cancel_pending => Err(Refused::CancellationPending),
        Direction::Up => fits(wanted.plan, present).map(|()| wanted.into()),
        Direction::Down => Err(not_allowed(wanted, "is a downgrade: ask for that")),
        Direction::Nowhere => Err(not_allowed(wanted, "is what the tenant has")),
    }
}

/// A lower plan for who pays for one; none where that is the free plan, which is a cancellation.
pub fn downgrade(plans: &[Plan], present: &Present, wish: &Wish) -> Result<Option<Chosen>, Refused> {
    paid(present)?;
    let free = plans.iter().find(|plan| plan.id.as_str() == wish.plan_id && plan.prices.is_none());
    if let Some(free) = free.filter(|plan| plan.default) {
        return fits(free, present).map(|()| None);
    }
    let wanted = price(plans, wish, &present.interval)?;
    match direction(plans, present, wanted) {
        Direction::Down if present.cancel_pending => Err(Refused::CancellationPending),
        Direction::Down => fits(wanted.plan, present).map(|()| Some(wanted.into())),
        Direction::Up => Err(not_allowed(wanted, "is an upgrade: ask for that")),
        Direction::Nowhere => Err(not_allowed(wanted, "is what the tenant has")),
    }
}

fn not_allowed(wanted: Choice<'_>, why: &str) -> Refused {
    Refused::NotAllowed(format!("the plan {} by the {} {why}", wanted.plan.id, wanted.interval))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plans() -> Vec<Plan> {
        let plan = |value| serde_json::from_value(value).unwrap();
        vec![
            plan(json!({ "id": "free", "name": "Free", "rank": 0, "default": true })),
            plan(
                json!({ "id": "pro", "name": "Pro", "rank": 10, "prices": { "currency": "usd", "month": 1, "year": 10 } }),
            ),
            plan(json!({ "id": "team", "name": "Team", "rank": 20, "prices": { "currency": "usd", "month": 5 } })),
        ]
    }

    fn present(plan: &str, interval: &str) -> Present {
        Present {
            plan_id: plan.to_owned(),
            interval: interval.to_owned(),
            is_paid: plan != "free",
            ever_paid: plan != "free",
            cancel_pending: false,
            change_pending: false,
            members: 3,
        }
    }

    fn wish(plan: &str, interval: Option<&str>) -> Wish {
        Wish { plan_id: plan.to_owned(), interval: interval.map(str::to_owned) }
    }

    #[test]
    fn what_goes_up_is_no_downgrade_and_what_goes_down_no_upgrade() {
        let plans = plans();
        for (have, wanted, up) in [
            (("pro", "month"), wish("team", None), true),
            (("team", "month"), wish("pro", None), false),
            (("pro", "month"), wish("pro", Some("year")), true),
            (("pro", "year"), wish("pro", Some("month")), false),
            (("pro", "year"), wish("team", Some("month")), true),
            (("gone", "month"), wish("pro", None), true),
        ] {
            let present = present(have.0, have.1);
            assert_eq!(upgrade(&plans, &present, &wanted).is_ok(), up, "{have:?} {wanted:?}");
            assert_eq!(downgrade(&plans, &present, &wanted).is_ok(), !up, "{have:?} {wanted:?}");
        }
        let same = present("pro", "month");
        assert!(matches!(upgrade(&plans, &same, &wish("pro", None)), Err(Refused::NotAllowed(_))));
        assert!(matches!(downgrade(&plans, &same, &wish("pro", None)), Err(Refused::NotAllowed(_))));
    }

    #[test]
    fn no_plan_is_taken_that_has_fewer_places_than_there_are_members() {
        let mut plans = plans();
        let full = |error| matches!(error, Refused::TooManyMembers { places: 2, members: 3, .. });
        for plan in &mut plans {
            plan.max_members = Some(2);
        }
        let (free, pro, team) = (present("free", "month"), present("pro", "month"), present("team", "month"));
        assert!(full(checkout(&plans, &free, &wish("pro", None)).unwrap_err()));
        assert!(full(upgrade(&plans, &pro, &wish("team", None)).unwrap_err()));
        assert!(full(downgrade(&plans, &team, &wish("pro", None)).unwrap_err()));
        assert!(full(downgrade(&plans, &team, &wish("free", None)).unwrap_err()));
        // Who has the plan keeps it, by the year too.
        assert!(upgrade(&plans, &pro, &wish("pro", Some("year"))).is_ok());
        for plan in &mut plans {
            plan.max_members = Some(3);
        }
        assert!(checkout(&plans, &free, &wish("pro", None)).is_ok());
        assert!(upgrade(&plans, &pro, &wish("team", None)).is_ok());
        assert!(downgrade(&plans, &team, &wish("pro", None)).is_ok());
        assert!(downgrade(&plans, &team, &wish("free", None)).is_ok());
    }

    #[test]
    fn the_interval_stays_unless_it_is_named_and_must_have_a_price() {
        let plans = plans();
        assert_eq!(upgrade(&plans, &present("pro", "month"), &wish("team", None)).unwrap().interval, "month");
        let yearly = upgrade(&plans, &present("pro", "year"), &wish("team", None)).unwrap_err();
        assert!(matches!(yearly, Refused::UnknownPlanOrInterval { .. }));
        for unknown in [wish("nope", None), wish("pro", Some("week")), wish("free", None)] {
            assert!(matches!(
                checkout(&plans, &present("free", "month"), &unknown),
                Err(Refused::UnknownPlanOrInterval { .. })
            ));
        }
    }

    #[test]
    fn the_free_plan_is_a_cancellation_and_nothing_moves_without_a_subscription() {
        let plans = plans();
        assert!(downgrade(&plans, &present("pro", "month"), &wish("free", None)).unwrap().is_none());
        let free = present("free", "month");
        assert_eq!(upgrade(&plans, &free, &wish("pro", None)).unwrap_err(), Refused::CheckoutRequired);
        assert_eq!(downgrade(&plans, &free, &wish("free", None)).unwrap_err(), Refused::CheckoutRequired);
        assert_eq!(
            checkout(&plans, &present("pro", "month"), &wish("team", None)).unwrap_err(),
            Refused::AlreadySubscribed
        );
        let ending = Present { cancel_pending: true, ..present("pro", "month") };
        assert_eq!(upgrade(&plans, &ending, &wish("team", None)).unwrap_err(), Refused::CancellationPending);
    }
}
