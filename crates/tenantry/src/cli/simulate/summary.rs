//! What a simulation comes to, for each tenant and in sum.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tenantry_domain::money::{Currency, Money};
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use crate::cli::Failure;
use crate::cli::output::table;
use crate::usage::month::Month;
use crate::usage::simulate::{Gap, Line, What};

/// Tenants that are shown to people; the file of --csv and --json have them all.
const SHOWN: usize = 50;

/// Minor units of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Parts {
    /// Prices of plans.
    pub(super) plan: i64,
    /// Overage.
    pub(super) overage: i64,
}

impl Parts {
    pub(super) fn sum(self) -> i128 {
        i128::from(self.plan) + i128::from(self.overage)
    }

    fn add(&mut self, what: What, minor: i64) -> Result<(), Failure> {
        let part = if what == What::Plan { &mut self.plan } else { &mut self.overage };
        *part = part.checked_add(minor).ok_or_else(|| Failure::wrong("a sum does not fit 64 bits of minor units"))?;
        Ok(())
    }

    fn join(&mut self, other: Self) -> Result<(), Failure> {
        self.add(What::Plan, other.plan)?;
        self.add(What::Overage, other.overage)
    }
}

/// What is compared: now and under the other catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Both {
    pub(super) current: Parts,
    pub(super) simulated: Parts,
}

impl Both {
    pub(super) fn difference(self) -> i128 {
        self.simulated.sum() - self.current.sum()
    }

    /// The difference in percent with one decimal, half to even; none where nothing is paid now.
    pub(super) fn percent(self) -> Option<Decimal> {
        let current = Decimal::from_i128_with_scale(self.current.sum(), 0);
        let difference = Decimal::from_i128_with_scale(self.difference(), 0);
        let percent = difference.checked_mul(Decimal::ONE_HUNDRED)?.checked_div(current)?;
        Some(percent.round_dp(1))
    }

    fn json(self) -> Value {
        let parts = |parts: Parts| json!({ "plan": parts.plan, "overage": parts.overage, "sum": whole(parts.sum()) });
        json!({
            "currentCents": parts(self.current),
            "simulatedCents": parts(self.simulated),
            "differenceCents": whole(self.difference()),
            "percent": self.percent().map(|percent| percent.normalize().to_string()),
        })
    }
}

/// A sum as a JSON number; beyond 64 bits as text.
fn whole(minor: i128) -> Value {
    i64::try_from(minor).map_or_else(|_| minor.to_string().into(), Value::from)
}

/// One tenant in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TenantSum {
    pub(super) tenant: Uuid,
    pub(super) currency: String,
    pub(super) both: Both,
    /// Lines that could be simulated; without any there is nothing to compare.
    pub(super) compared: usize,
    plans: BTreeSet<String>,
    /// What would have been refused, by metric.
    refused: BTreeMap<String, Quantity>,
    gaps: BTreeSet<Gap>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) month: Month,
    pub(super) catalog: String,
    pub(super) tenants: Vec<TenantSum>,
    /// By currency: how many tenants could be compared, and their sums.
    pub(super) totals: BTreeMap<String, (usize, Both)>,
    gaps: BTreeMap<Gap, usize>,
}

impl Summary {
    pub(super) fn new(month: Month, catalog: String) -> Self {
        Self { month, catalog, tenants: Vec::new(), totals: BTreeMap::new(), gaps: BTreeMap::new() }
    }

    /// What could not be simulated, and of how many lines. These are in no sum, neither now nor simulated.
    pub(super) fn gaps(&self) -> &BTreeMap<Gap, usize> {
        &self.gaps
    }

    pub(super) fn add(&mut self, tenant: Uuid, lines: &[Line]) -> Result<(), Failure> {
        let mut sums: BTreeMap<&str, TenantSum> = BTreeMap::new();
        for line in lines {
            let sum = sums.entry(line.currency.as_str()).or_insert_with(|| TenantSum {
                tenant,
                currency: line.currency.clone(),
                both: Both::default(),
                compared: 0,
                plans: BTreeSet::new(),
                refused: BTreeMap::new(),
                gaps: BTreeSet::new(),
            });
            sum.plans.insert(line.plan_id.clone());
            match &line.simulated {
                Ok(found) => {
                    sum.compared += 1;
                    sum.both.current.add(line.what, line.current_minor)?;
                    sum.both.simulated.add(line.what, found.minor)?;
                    if found.would_be_refused > Quantity::ZERO {
                        let refused = sum.refused.entry(line.metric.clone()).or_default();
                        *refused = *refused + found.would_be_refused;
                    }
                }
                Err(gap) => {
                    sum.gaps.insert(gap.clone());
                    *self.gaps.entry(gap.clone()).or_default() += 1;
                }
            }
        }
        for (currency, sum) in sums {
            let (count, both) = self.totals.entry(currency.to_owned()).or_default();
            *count += usize::from(sum.compared > 0);
            both.current.join(sum.both.current)?;
            both.simulated.join(sum.both.simulated)?;
            self.tenants.push(sum);
        }
        Ok(())
    }

    pub(super) fn json(&self) -> Value {
        let tenants: Vec<Value> = self.tenants.iter().map(TenantSum::json).collect();
        let totals: Vec<Value> = self
            .totals
            .iter()
            .map(|(currency, (count, both))| {
                let mut value = both.json();
                value["currency"] = currency.as_str().into();
                value["tenants"] = (*count).into();
                value
            })
            .collect();
        let gaps: Vec<Value> =
            self.gaps.iter().map(|(gap, lines)| json!({ "gap": gap.to_string(), "lines": lines })).collect();
        json!({
            "period": self.month.to_string(),
            "catalog": self.catalog,
            "tenants": tenants,
            "totals": totals,
            "gaps": gaps,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("periods that began in {}, under {}\n\n", self.month, self.catalog);
        let mut sorted: Vec<&TenantSum> = self.tenants.iter().collect();
        sorted.sort_by_key(|sum| (std::cmp::Reverse(sum.both.difference().abs()), sum.tenant));
        let rows = sorted.iter().take(SHOWN).map(|sum| {
            let plans = sum.plans.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            row(&sum.tenant.to_string(), plans, &sum.currency, sum.both, sum.notes())
        });
        let totals = self.totals.iter().map(|(currency, (count, both))| {
            row(&format!("all {count}"), String::new(), currency, *both, String::new())
        });
        let rows: Vec<_> = rows.chain(totals).collect();
        text.push_str(&table(["tenant", "plan", "now", "simulated", "difference", "%", ""], rows));
        // Writing to a String cannot fail.
        if sorted.len() > SHOWN {
            let _ =
                writeln!(text, "{} more with smaller differences: --csv and --json have them", sorted.len() - SHOWN);
        }
        for (gap, lines) in &self.gaps {
            let _ = writeln!(text, "left out, {lines} lines: {gap}");
        }
        text
    }
}

fn row(name: &str, plans: String, currency: &str, both: Both, notes: String) -> [String; 7] {
    [
        name.to_owned(),
        plans,
        amount(both.current.sum(), currency),
        amount(both.simulated.sum(), currency),
        signed(both.difference(), currency),
        percent(both),
        notes,
    ]
}

/// Money for people.
pub(super) fn amount(minor: i128, currency: &str) -> String {
    match (i64::try_from(minor), currency.parse::<Currency>()) {
        (Ok(minor), Ok(currency)) => Money { minor, currency }.to_string(),
        _ => format!("{minor} minor units of {currency}"),
    }
}

/// The same with its sign.
pub(super) fn signed(minor: i128, currency: &str) -> String {
    let sign = if minor > 0 { "+" } else { "" };
    format!("{sign}{}", amount(minor, currency))
}

/// A difference in percent, with its sign; empty where nothing was paid before.
pub(super) fn percent(both: Both) -> String {
    let Some(percent) = both.percent() else { return String::new() };
    let sign = if percent > Decimal::ZERO { "+" } else { "" };
    format!("{sign}{}", percent.normalize())
}

impl TenantSum {
    fn notes(&self) -> String {
        let refused = self.refused.iter().map(|(metric, quantity)| format!("{quantity} {metric} would be refused"));
        let left = (!self.gaps.is_empty()).then(|| "not all of it".to_owned());
        refused.chain(left).collect::<Vec<_>>().join("; ")
    }

    fn json(&self) -> Value {
        let mut value = self.both.json();
        value["tenantId"] = json!(self.tenant);
        value["currency"] = self.currency.as_str().into();
        value["plans"] = json!(self.plans);
        value["wouldBeRefused"] = json!(self.refused);
        value["gaps"] = self.gaps.iter().map(ToString::to_string).collect();
        value
    }
}
