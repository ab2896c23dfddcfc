//! The sandbox's tax rule, which is simple on purpose: 19 % for addresses in Germany, nothing elsewhere.
//!
//! Added to prices (exclusive), computed and rounded for each line. Without a country the tax cannot be known: the
//! invoice's `automatic_tax.status` is `requires_location_inputs` and it cannot be finalized.

use crate::model::{Customer, Invoice};

/// The rate in percent for a customer. None when the country is not known.
pub(crate) fn rate_percent(country: Option<&str>, exempt: &str) -> Option<i64> {
    match country {
        None => None,
        Some(_) if exempt != "none" => Some(0),
        Some("DE") => Some(19),
        Some(_) => Some(0),
    }
}

/// Computes the taxes of a draft's lines.
pub(super) fn apply(invoice: &mut Invoice, customer: &Customer) {
    let rate = if invoice.automatic_tax { rate_percent(customer.country(), &customer.tax_exempt) } else { Some(0) };
    for line in &mut invoice.lines {
        line.tax = part(line.amount, rate.unwrap_or(0));
    }
    let known = rate.is_some();
    invoice.tax_status =
        invoice.automatic_tax.then(|| if known { "complete" } else { "requires_location_inputs" }.to_owned());
    if known {
        invoice.tax_disabled_reason = None;
    }
}

/// Percent of an amount, rounded half away from zero.
pub(crate) fn part(amount: i64, percent: i64) -> i64 {
    let product = i128::from(amount) * i128::from(percent);
    let half = if product < 0 { -50 } else { 50 };
    i64::try_from((product + half) / 100).unwrap_or(0)
}
