//! What a plan charges above what is included, as a price of Stripe's over the units that are reported.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use tenantry_domain::plan::{Mode, OverageTerms, Tier};
use tenantry_stripe::prices::{BillingScheme, Create, Price, TierParameters, TiersMode, TransformQuantity, UpTo};

/// Overage terms in the words of Stripe's prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expressed {
    /// So much for each unit: minor units, an exact decimal.
    Each(Decimal),
    /// So much for each begun package of so many units.
    Package(Decimal, u64),
    /// By tiers: the last unit of each, none for the last, and minor units of one.
    Tiered(TiersMode, Vec<(Option<u64>, Decimal)>),
}

impl Expressed {
    /// Puts terms into Stripe's words; what of them has none.
    pub(super) fn of(terms: &OverageTerms) -> Result<Self, String> {
        match (terms.mode, terms.tiers.as_slice()) {
            (Mode::Flat, [only]) => Ok(Self::Each(unit(terms, only)?)),
            (Mode::Package, [only]) => Ok(Self::Package(only.unit_price.as_decimal(), terms.per)),
            (Mode::Graduated, tiers) => Ok(Self::Tiered(TiersMode::Graduated, tiered(terms, tiers)?)),
            (Mode::Volume, tiers) => Ok(Self::Tiered(TiersMode::Volume, tiered(terms, tiers)?)),
            (mode, tiers) => Err(format!("mode {} with {} rates", mode.as_str(), tiers.len())),
        }
    }

    /// Whether a price, read with its tiers, says this.
    pub(super) fn is_said_by(&self, price: &Price) -> bool {
        let is_tiered = price.billing_scheme == Some(BillingScheme::Tiered);
        let divides = price.transform_quantity.as_ref();
        match self {
            Self::Each(unit) => {
                !is_tiered
                    && divides.is_none()
                    && decimal(price.unit_amount_decimal.as_deref(), price.unit_amount) == Some(*unit)
            }
            Self::Package(unit, per) => {
                !is_tiered
                    && divides.is_some_and(|by| u64::try_from(by.divide_by) == Ok(*per) && by.round == "up")
                    && decimal(price.unit_amount_decimal.as_deref(), price.unit_amount) == Some(*unit)
            }
            Self::Tiered(mode, tiers) => {
                let same = |(wanted, found): (&(Option<u64>, Decimal), &tenantry_stripe::prices::Tier)| {
                    let flat = decimal(found.flat_amount_decimal.as_deref(), found.flat_amount);
                    found.up_to.and_then(|end| u64::try_from(end).ok()) == wanted.0
                        && decimal(found.unit_amount_decimal.as_deref(), found.unit_amount) == Some(wanted.1)
                        && flat.is_none_or(|flat| flat.is_zero())
                };
                is_tiered
                    && divides.is_none()
                    && price.tiers_mode.as_ref() == Some(mode)
                    && price.tiers.len() == tiers.len()
                    && tiers.iter().zip(&price.tiers).all(same)
            }
        }
    }

    /// For people: what it costs, in minor units.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Each(unit) => format!("{unit} minor units each"),
            Self::Package(unit, per) => format!("{unit} minor units per begun {per}"),
            Self::Tiered(mode, tiers) => {
                let tiers: Vec<String> = tiers
                    .iter()
                    .map(|(end, unit)| {
                        end.map_or_else(|| format!("{unit} beyond"), |end| format!("{unit} up to {end}"))
                    })
                    .collect();
                format!("{} minor units each ({})", tiers.join(", "), mode.as_str())
            }
        }
    }

    /// The texts that a request borrows.
    pub(super) fn texts(&self) -> Vec<String> {
        match self {
            Self::Each(unit) | Self::Package(unit, _) => vec![unit.to_string()],
            Self::Tiered(_, tiers) => tiers.iter().map(|(_, unit)| unit.to_string()).collect(),
        }
    }

    /// Fills the part of a request that says what is charged. `texts` are its own.
    pub(super) fn fill<'a>(&self, texts: &'a [String], request: Create<'a>) -> Create<'a> {
        let first = texts.first().map(String::as_str);
        match self {
            Self::Each(_) => {
                Create { unit_amount_decimal: first, billing_scheme: Some(BillingScheme::PerUnit), ..request }
            }
            Self::Package(_, per) => Create {
                unit_amount_decimal: first,
                billing_scheme: Some(BillingScheme::PerUnit),
                transform_quantity: Some(TransformQuantity { divide_by: *per, round: "up" }),
                ..request
            },
            Self::Tiered(mode, tiers) => Create {
                billing_scheme: Some(BillingScheme::Tiered),
                tiers_mode: Some(mode.clone()),
                tiers: tiers
                    .iter()
                    .zip(texts)
                    .map(|((end, _), unit)| TierParameters {
                        up_to: end.map_or(UpTo::Infinity, UpTo::Unit),
                        flat_amount: None,
                        flat_amount_decimal: None,
                        unit_amount: None,
                        unit_amount_decimal: Some(unit),
                    })
                    .collect(),
                ..request
            },
        }
    }
}

fn unit(terms: &OverageTerms, tier: &Tier) -> Result<Decimal, String> {
    let one = tier.unit_price.of_one(terms.per);
    let one = one.ok_or_else(|| {
        format!("{} for {} is no rate of one unit with at most 12 decimals", tier.unit_price, terms.per)
    })?;
    Ok(one.as_decimal())
}

fn tiered(terms: &OverageTerms, tiers: &[Tier]) -> Result<Vec<(Option<u64>, Decimal)>, String> {
    let bound = |tier: &Tier| match tier.up_to {
        None => Ok(None),
        Some(end) => {
            let whole = end.as_decimal().to_u64().filter(|_| end.as_decimal().fract().is_zero());
            whole.map(Some).ok_or_else(|| format!("a tier ends at {end}, and Stripe counts whole units"))
        }
    };
    tiers.iter().map(|tier| Ok((bound(tier)?, unit(terms, tier)?))).collect()
}

fn decimal(exact: Option<&str>, whole: Option<i64>) -> Option<Decimal> {
    let exact = exact.and_then(|text| text.parse::<Decimal>().ok());
    exact.or_else(|| whole.map(Decimal::from)).map(|amount| amount.normalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(terms: serde_json::Value) -> Result<String, String> {
        Expressed::of(&serde_json::from_value(terms).unwrap()).map(|expressed| expressed.words())
    }

    #[test]
    fn terms_have_words_at_stripe_or_it_is_told_which_have_none() {
        let tier = |end: &str, rate: &str| json!({ "up_to": end, "unit_price": rate });
        let last = |rate: &str| json!({ "unit_price": rate });
        for (mode, per, tiers, words) in [
            ("flat", 1, json!([last("2.25")]), Ok("2.25 minor units each")),
            ("flat", 1000, json!([last("0.2")]), Ok("0.0002 minor units each")),
            ("flat", 3, json!([last("1")]), Err("1 for 3 is no rate of one unit with at most 12 decimals")),
            ("package", 3, json!([last("1.5")]), Ok("1.5 minor units per begun 3")),
            (
                "graduated",
                10,
                json!([tier("40", "3"), last("1.5")]),
                Ok("0.3 up to 40, 0.15 beyond minor units each (graduated)"),
            ),
            ("volume", 1, json!([tier("5", "3"), last("1")]), Ok("3 up to 5, 1 beyond minor units each (volume)")),
            (
                "graduated",
                1,
                json!([tier("0.5", "3"), last("1")]),
                Err("a tier ends at 0.5, and Stripe counts whole units"),
            ),
            (
                "volume",
                7,
                json!([tier("5", "7"), last("1")]),
                Err("1 for 7 is no rate of one unit with at most 12 decimals"),
            ),
        ] {
            let found = of(json!({ "mode": mode, "per": per, "tiers": tiers }));
            assert_eq!(found.as_deref().map_err(String::as_str), words, "{mode} {per}");
        }
    }
}
