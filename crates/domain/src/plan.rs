//! Plans: what a tenant pays, and what each metric includes and costs.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::money::{Currency, Rate};
use crate::quantity::Quantity;

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {what}: use 1 to 64 of a-z, 0-9 and {also}, a letter first")]
pub struct NameError {
    what: &'static str,
    also: &'static str,
    found: String,
}

fn check(what: &'static str, also: &'static str, text: &str) -> Result<(), NameError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || also.as_bytes().contains(&byte);
    let good = (1..=64).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(allowed);
    if good { Ok(()) } else { Err(NameError { what, also, found: text.to_owned() }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $also:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check($what, $also, text).map(|()| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// Id of a plan; stable over its versions.
    PlanId, "plan id", "_-"
);
name!(
    /// Name of a metric: what is counted.
    MetricName, "metric name", "_"
);

/// A plan of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Stable id.
    pub id: PlanId,
    /// For people.
    pub name: String,
    /// An upgrade goes to a higher rank.
    pub rank: u32,
    /// New tenants get it; one plan of the catalog.
    #[serde(default)]
    pub default: bool,
    /// Days of trial when it is first bought.
    #[serde(default)]
    pub trial_days: u32,
    /// What it costs; none for a free plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Terms by metric.
    #[serde(default)]
    pub metrics: BTreeMap<MetricName, MetricTerms>,
}

/// What a plan costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Currency of both, and of the plan's overage.
    pub currency: Currency,
    /// Minor units a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month: Option<i64>,
    /// Minor units a year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub year: Option<i64>,
}

/// What a plan says of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricTerms {
    /// What comes with the plan in a period.
    pub allowance: Allowance,
    /// Price of use above it; without, the included quantity is a hard limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overage: Option<OverageTerms>,
}

/// What comes with a plan in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowance {
    /// So much.
    Included(Quantity),
    /// No end.
    Unlimited,
}

/// How use above the included quantity is priced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverageTerms {
    /// How tiers apply.
    pub mode: Mode,
    /// Units that one rate buys; at least 1.
    pub per: u64,
    /// At least one, in order; the last has no end. Flat and package have exactly one.
    pub tiers: Vec<Tier>,
}

/// How tiers apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One rate.
    Flat,
    /// Each unit costs what its tier says.
    Graduated,
    /// All units cost what the tier of the last one says.
    Volume,
    /// One rate for each begun package of `per` units.
    Package,
}

/// A span of units above included, and their rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Last unit above included that it covers; none is no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Quantity>,
    /// Minor units for `per` units.
    pub unit_price: Rate,
}

impl MetricTerms {
    /// Included quantity; none is unlimited.
    pub fn included(&self) -> Option<Quantity> {
        match self.allowance {
            Allowance::Included(quantity) => Some(quantity),
            Allowance::Unlimited => None,
        }
    }

    /// The total that no accepted event passes: what is included where there is no overage.
    pub fn hard_limit(&self) -> Option<Quantity> {
        if self.overage.is_some() { None } else { self.included() }
    }
}

/// All plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    plans: Vec<Plan>,
    default: usize,
}

/// Why plans are no catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Not exactly one default plan.
    #[error("{0} plans have default = true, exactly one must: new tenants get it")]
    Defaults(usize),
    /// Two plans of one id.
    #[error("two plans have the id {0:?}")]
    DuplicateId(String),
}

impl Catalog {
    /// Makes a catalog of plans; by rank.
    pub fn new(mut plans: Vec<Plan>) -> Result<Self, CatalogError> {
        plans.sort_by(|a, b| (a.rank, &a.id).cmp(&(b.rank, &b.id)));
        for (position, plan) in plans.iter().enumerate() {
            if plans[..position].iter().any(|other| other.id == plan.id) {
                return Err(CatalogError::DuplicateId(plan.id.to_string()));
            }
        }
        let defaults: Vec<usize> =
            plans.iter().enumerate().filter(|(_, plan)| plan.default).map(|(position, _)| position).collect();
        match defaults[..] {
            [default] => Ok(Self { plans, default }),
            _ => Err(CatalogError::Defaults(defaults.len())),
        }
    }

    /// The plans, by rank.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// The plan that new tenants get.
    pub fn default_plan(&self) -> &Plan {
        &self.plans[self.default]
    }

    /// A plan by id.
    pub fn plan(&self, id: &str) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.id.as_str() == id)
    }

    /// Whether some plan names the metric.
    pub fn declares_metric(&self, name: &str) -> bool {
        self.plans.iter().any(|plan| plan.metrics.contains_key(name))
    }
}
