//! Plans: what a tenant pays, and what each metric includes and costs.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::metric::{DimensionName, MetricDefinition};
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
    /// Its price is for each member. Left out where it is not, so that stored definitions stay what they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_seat: bool,
    /// Members that a tenant may have, at least 1; none is no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_members: Option<u32>,
    /// Currency of overage; none where prices name it or nothing costs anything. See [`Plan::currency`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// What it costs; none for a free plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Terms by metric.
    #[serde(default)]
    pub metrics: BTreeMap<MetricName, MetricTerms>,
}

impl Plan {
    /// The currency of all that the plan charges; none where it charges nothing.
    pub fn currency(&self) -> Option<Currency> {
        self.prices.map(|prices| prices.currency).or(self.currency)
    }
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

/// What a plan says of a metric. Terms that were read are consistent: see [`TermsError`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawMetricTerms")]
pub struct MetricTerms {
    /// What comes with the plan in a period.
    pub allowance: Allowance,
    /// Price of use above it; without, the included quantity is a hard limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overage: Option<OverageTerms>,
    /// What the catalog says of the metric for all plans. It is kept with each plan, so that it has its versions.
    #[serde(default, skip_serializing_if = "MetricDefinition::is_default")]
    pub definition: MetricDefinition,
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

/// How use above the included quantity is priced. Terms that were read are consistent: see [`TermsError`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawOverageTerms")]
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMetricTerms {
    allowance: Allowance,
    #[serde(default)]
    overage: Option<OverageTerms>,
    #[serde(default)]
    definition: MetricDefinition,
}

impl TryFrom<RawMetricTerms> for MetricTerms {
    type Error = TermsError;
    fn try_from(RawMetricTerms { allowance, overage, definition }: RawMetricTerms) -> Result<Self, TermsError> {
        let terms = Self { allowance, overage, definition };
        terms.check().map(|()| terms)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOverageTerms {
    mode: Mode,
    per: u64,
    tiers: Vec<Tier>,
}

impl TryFrom<RawOverageTerms> for OverageTerms {
    type Error = TermsError;
    fn try_from(RawOverageTerms { mode, per, tiers }: RawOverageTerms) -> Result<Self, TermsError> {
        let terms = Self { mode, per, tiers };
        terms.check().map(|()| terms)
    }
}

/// Why terms contradict themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// Less than nothing is included.
    #[error("included must not be negative")]
    NegativeIncluded,
    /// What never ends has nothing above it.
    #[error("an unlimited metric has no overage")]
    UnlimitedWithOverage,
    /// A hard limit where there can be none.
    #[error("a percentile has no hard limit: give it overage, or unlimited = true instead of included")]
    LimitedPercentile,
    /// A rate for no units.
    #[error("per must be at least 1")]
    PerZero,
    /// Nothing to price with.
    #[error("must not be empty")]
    NoTiers,
    /// Flat and package prices have one rate.
    #[error("mode {0} has exactly one rate")]
    OneRate(&'static str),
    /// A tier that is not the last one has no end.
    #[error("tier {0} needs up_to: only the last tier has no end")]
    Unbounded(usize),
    /// Use above the last tier would cost nothing.
    #[error("tier {0} is the last one and must have no up_to, else what is above it would be free")]
    LastBounded(usize),
    /// Tiers go up, from above 0.
    #[error("tier {0} must end above where the tier before it ends")]
    OutOfOrder(usize),
}

impl Mode {
    /// As written in the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Graduated => "graduated",
            Self::Volume => "volume",
            Self::Package => "package",
        }
    }
}

impl OverageTerms {
    /// All that keeps them from pricing every quantity: tiers go up, only the last has no end, `per` is at least 1.
    /// Tiers count from 1.
    pub fn problems(&self) -> Vec<TermsError> {
        let mut problems = Vec::new();
        let last = self.tiers.len();
        if self.per == 0 {
            problems.push(TermsError::PerZero);
        }
        if last == 0 {
            problems.push(TermsError::NoTiers);
        }
        if matches!(self.mode, Mode::Flat | Mode::Package) && last > 1 {
            problems.push(TermsError::OneRate(self.mode.as_str()));
        }
        let mut end = Quantity::ZERO;
        for (position, tier) in (1..).zip(&self.tiers) {
            match tier.up_to {
                None if position < last => problems.push(TermsError::Unbounded(position)),
                Some(_) if position == last => problems.push(TermsError::LastBounded(position)),
                Some(up_to) if up_to <= end => problems.push(TermsError::OutOfOrder(position)),
                Some(up_to) => end = up_to,
                None => {}
            }
        }
        problems
    }

    fn check(&self) -> Result<(), TermsError> {
        self.problems().first().map_or(Ok(()), |first| Err(*first))
    }
}

impl MetricTerms {
    /// Whether they fit together.
    pub fn check(&self) -> Result<(), TermsError> {
        match (self.allowance, &self.overage) {
            (Allowance::Included(included), _) if included < Quantity::ZERO => Err(TermsError::NegativeIncluded),
            (Allowance::Unlimited, Some(_)) => Err(TermsError::UnlimitedWithOverage),
            (Allowance::Included(_), None) if !self.definition.aggregation.can_be_limited() => {
                Err(TermsError::LimitedPercentile)
            }
            (_, Some(overage)) => overage.check(),
            (_, None) => Ok(()),
        }
    }

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
    dimensions: BTreeMap<MetricName, BTreeSet<DimensionName>>,
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
    /// Two plans of one rank: neither would be an upgrade of the other.
    #[error("two plans have the rank {0}: which one is the upgrade?")]
    DuplicateRank(u32),
    /// Two currencies: a period under two plans could not be summed.
    #[error("plans charge in {0} and in {1}: all plans of a catalog charge in one currency")]
    TwoCurrencies(Currency, Currency),
    /// Dimensions of a metric that no plan has.
    #[error("no plan names the metric {0:?}")]
    UnknownMetric(String),
    /// Dimensions of a metric whose figures do not add up.
    #[error("the metric {0:?} is no sum, so that it has no dimensions")]
    NoSum(String),
    /// Two definitions of a metric: a plan change in a period could not go on with it.
    #[error("two plans define the metric {0:?} differently")]
    TwoDefinitions(String),
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
        if let Some(pair) = plans.windows(2).find(|pair| pair[0].rank == pair[1].rank) {
            return Err(CatalogError::DuplicateRank(pair[0].rank));
        }
        let mut currencies = plans.iter().flat_map(|plan| plan.currency.into_iter().chain(plan.currency()));
        if let Some(first) = currencies.next()
            && let Some(second) = currencies.find(|currency| *currency != first)
        {
            return Err(CatalogError::TwoCurrencies(first, second));
        }
        let mut definitions: BTreeMap<&MetricName, &MetricDefinition> = BTreeMap::new();
        for (name, terms) in plans.iter().flat_map(|plan| &plan.metrics) {
            if *definitions.entry(name).or_insert(&terms.definition) != &terms.definition {
                return Err(CatalogError::TwoDefinitions(name.to_string()));
            }
        }
        let defaults: Vec<usize> =
            plans.iter().enumerate().filter(|(_, plan)| plan.default).map(|(position, _)| position).collect();
        match defaults[..] {
            [default] => Ok(Self { plans, default, dimensions: BTreeMap::new() }),
            _ => Err(CatalogError::Defaults(defaults.len())),
        }
    }

    /// The same catalog with dimensions that sums are reported by; some plan must name each metric. They are no part of
    /// plans and their versions: what they say holds at once.
    pub fn with_dimensions(
        mut self,
        dimensions: BTreeMap<MetricName, BTreeSet<DimensionName>>,
    ) -> Result<Self, CatalogError> {
        for name in dimensions.keys() {
            let terms = self.plans.iter().find_map(|plan| plan.metrics.get(name));
            let terms = terms.ok_or_else(|| CatalogError::UnknownMetric(name.to_string()))?;
            if !terms.definition.aggregation.is_sum() {
                return Err(CatalogError::NoSum(name.to_string()));
            }
        }
        self.dimensions = dimensions;
        Ok(self)
    }

    /// Dimensions by metric; metrics without any are missing.
    pub fn dimensions(&self) -> &BTreeMap<MetricName, BTreeSet<DimensionName>> {
        &self.dimensions
    }

    /// The plans, by rank.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// The currency that all plans charge in; none where nothing costs anything.
    pub fn currency(&self) -> Option<Currency> {
        self.plans.iter().find_map(Plan::currency)
    }

    /// The names of all metrics that some plan names, each once, in order.
    pub fn metrics(&self) -> BTreeSet<&MetricName> {
        self.plans.iter().flat_map(|plan| plan.metrics.keys()).collect()
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
