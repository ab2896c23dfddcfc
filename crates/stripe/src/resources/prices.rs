//! Prices: what a product costs, and how often.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::shared::{Interval, Metadata, TaxBehavior};
use crate::open_enum::open_enum;
use crate::products::Product;
use crate::read::{has_id, object};
use crate::request::request;
use crate::{Expandable, List as Page};

open_enum! {
    /// How the quantity becomes an amount.
    BillingScheme {
        /// Quantity times amount.
        PerUnit = "per_unit",
        /// By tiers.
        Tiered = "tiered",
    }
}

open_enum! {
    /// How tiers are read.
    TiersMode {
        /// Each tier prices what lies in it.
        Graduated = "graduated",
        /// The last tier that is reached prices everything.
        Volume = "volume",
    }
}

open_enum! {
    /// Where the quantity of a recurring price comes from.
    UsageType {
        /// From the subscription.
        Licensed = "licensed",
        /// From a meter.
        Metered = "metered",
    }
}

open_enum! {
    /// Whether a price recurs.
    PriceType {
        /// It does not.
        OneTime = "one_time",
        /// It does.
        Recurring = "recurring",
    }
}

object! {
    /// A price.
    Price {
        /// Its id, `price_…`.
        id: String,
        /// It was deleted.
        deleted: bool,
        /// Live, not test.
        livemode: bool,
        /// It can be bought.
        active: bool,
        /// Three letters, lower case.
        currency: Option<String>,
        /// Minor units of one; None where it is fractional or tiered.
        unit_amount: Option<i64>,
        /// The same as an exact decimal, up to 12 places.
        unit_amount_decimal: Option<String>,
        /// How the quantity becomes an amount.
        billing_scheme: Option<BillingScheme>,
        /// How tiers are read.
        tiers_mode: Option<TiersMode>,
        /// The tiers, where they are expanded.
        tiers: Vec<Tier>,
        /// What the quantity is divided by before it is priced.
        transform_quantity: Option<TransformRead>,
        /// How often, where it recurs.
        recurring: Option<Recurring>,
        /// Whether it recurs.
        kind = "type": Option<PriceType>,
        /// The caller's own name; at most one active price has it.
        lookup_key: Option<String>,
        /// Words for the dashboard.
        nickname: Option<String>,
        /// What it is the price of.
        product: Option<Expandable<Product>>,
        /// Whether the amount contains its tax.
        tax_behavior: Option<TaxBehavior>,
        /// The caller's notes.
        metadata: Metadata,
        /// When it was made.
        created: Option<Timestamp>,
    }
}

object! {
    /// How often a price is charged.
    Recurring {
        /// The unit.
        interval: Interval,
        /// How many of them.
        interval_count: Option<i64>,
        /// Id of the meter that counts.
        meter: Option<String>,
        /// Where the quantity comes from.
        usage_type: Option<UsageType>,
    }
}

object! {
    /// What a quantity is divided by.
    TransformRead {
        /// By this.
        divide_by: i64,
        /// `up` or `down`.
        round: String,
    }
}

object! {
    /// One tier.
    Tier {
        /// The last unit in it; None is without end.
        up_to: Option<i64>,
        /// Minor units once the tier is reached.
        flat_amount: Option<i64>,
        /// The same as an exact decimal.
        flat_amount_decimal: Option<String>,
        /// Minor units of one.
        unit_amount: Option<i64>,
        /// The same as an exact decimal.
        unit_amount_decimal: Option<String>,
    }
}

has_id!(Price);

/// How often a price is charged.
#[derive(Debug, Clone, Serialize)]
pub struct RecurringParameters<'a> {
    /// The unit.
    pub interval: Interval,
    /// How many of them; 1 where it is not said.
    pub interval_count: Option<u32>,
    /// Id of the meter that counts.
    pub meter: Option<&'a str>,
    /// Where the quantity comes from.
    pub usage_type: Option<UsageType>,
}

/// The last unit in a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpTo {
    /// This one.
    Unit(u64),
    /// There is none.
    Infinity,
}

impl Serialize for UpTo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unit(last) => serializer.serialize_u64(*last),
            Self::Infinity => serializer.serialize_str("inf"),
        }
    }
}

/// One tier.
#[derive(Debug, Clone, Serialize)]
pub struct TierParameters<'a> {
    /// The last unit in it.
    pub up_to: UpTo,
    /// Minor units once the tier is reached.
    pub flat_amount: Option<i64>,
    /// The same as an exact decimal; one of both.
    pub flat_amount_decimal: Option<&'a str>,
    /// Minor units of one.
    pub unit_amount: Option<i64>,
    /// The same as an exact decimal; one of both.
    pub unit_amount_decimal: Option<&'a str>,
}

/// Divides the quantity before it is priced.
#[derive(Debug, Clone, Serialize)]
pub struct TransformQuantity<'a> {
    /// By this.
    pub divide_by: u64,
    /// `up` or `down`.
    pub round: &'a str,
}

/// Makes a price.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Create<'a> {
    /// Three letters, lower case. Required.
    pub currency: &'a str,
    /// What it is the price of. Required.
    pub product: Option<&'a str>,
    /// It can be bought.
    pub active: Option<bool>,
    /// Minor units of one.
    pub unit_amount: Option<i64>,
    /// The same as an exact decimal, up to 12 places; one of both.
    pub unit_amount_decimal: Option<&'a str>,
    /// How the quantity becomes an amount.
    pub billing_scheme: Option<BillingScheme>,
    /// How tiers are read.
    pub tiers_mode: Option<TiersMode>,
    /// The tiers, lowest first.
    pub tiers: Vec<TierParameters<'a>>,
    /// Divides the quantity.
    pub transform_quantity: Option<TransformQuantity<'a>>,
    /// How often.
    pub recurring: Option<RecurringParameters<'a>>,
    /// The caller's own name.
    pub lookup_key: Option<&'a str>,
    /// Takes that name from the price that has it; else the request is refused.
    pub transfer_lookup_key: Option<bool>,
    /// Words for the dashboard.
    pub nickname: Option<&'a str>,
    /// Whether the amount contains its tax.
    pub tax_behavior: Option<TaxBehavior>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Create<'_>: Post "/v1/prices" [] -> Price);

/// Gets a price.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Retrieve<'a> {
    /// The price.
    #[serde(skip)]
    pub id: &'a str,
    /// What to give whole, such as `product` and `tiers`.
    pub expand: Vec<&'a str>,
}
request!(Retrieve<'_>: Get "/v1/prices/{price}" [id] -> Price);

/// Changes what can be changed of a price: never its amount.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Update<'a> {
    /// The price.
    #[serde(skip)]
    pub id: &'a str,
    /// It can be bought.
    pub active: Option<bool>,
    /// The caller's own name.
    pub lookup_key: Option<&'a str>,
    /// Takes that name from the price that has it.
    pub transfer_lookup_key: Option<bool>,
    /// Words for the dashboard.
    pub nickname: Option<&'a str>,
    /// Whether the amount contains its tax; once it is set it stays.
    pub tax_behavior: Option<TaxBehavior>,
    /// The caller's notes.
    pub metadata: Metadata,
    /// What to give whole.
    pub expand: Vec<&'a str>,
}
request!(Update<'_>: Post "/v1/prices/{price}" [id] -> Price);

/// Lists prices.
#[derive(Debug, Clone, Default, Serialize)]
pub struct List<'a> {
    /// Only those that can be bought, or cannot.
    pub active: Option<bool>,
    /// Only those with one of these names, at most 10.
    pub lookup_keys: Vec<&'a str>,
    /// Only those of this product.
    pub product: Option<&'a str>,
    /// Only those in this currency.
    pub currency: Option<&'a str>,
    /// Only those that recur, or do not.
    #[serde(rename = "type")]
    pub kind: Option<PriceType>,
    /// Objects of a page, 1 to 100.
    pub limit: Option<u8>,
    /// Begin behind this id.
    pub starting_after: Option<&'a str>,
    /// End before this id.
    pub ending_before: Option<&'a str>,
    /// What to give whole, such as `data.product` and `data.tiers`.
    pub expand: Vec<&'a str>,
}
request!(List<'_>: Get "/v1/prices" [] -> Page<Price>);
