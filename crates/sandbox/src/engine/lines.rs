//! Lines of an invoice for the periods of a subscription's items.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::price::{amount, exponent};
use super::work::Work;
use crate::fault::Fault;
use crate::model::{Invoice, InvoiceStatus, Item, Line, LineParent, Metadata, Price, Subscription, Time};

impl Work {
    /// A line for an item of a subscription over its period.
    fn item_line(&mut self, subscription: &Subscription, item: &Item, amount: i64, text: String) -> Line {
        Line {
            id: self.long_id("il_"),
            amount,
            tax: 0,
            description: text,
            quantity: item.quantity,
            metadata: Metadata::new(),
            price: Some(item.price.clone()),
            unit_amount: None,
            period_start: item.period_start,
            period_end: item.period_end,
            proration: false,
            credited: None,
            parent: LineParent {
                invoice_item: None,
                subscription: Some(subscription.id.clone()),
                subscription_item: Some(item.id.clone()),
            },
        }
    }

    /// The name of a price's product.
    pub(crate) fn product_name(&self, price: &Price) -> String {
        self.state.products.get(&price.product).map(|product| product.name.clone()).unwrap_or_default()
    }
}

/// A line for each item that is paid in advance, over the period that it is in. During a trial they cost nothing.
pub(crate) fn period_lines(work: &mut Work, subscription: &Subscription, trial: bool) -> Result<Vec<Line>, Fault> {
    let mut lines = Vec::new();
    for item in &subscription.items {
        let price = work.price(&item.price)?.clone();
        if price.metered() {
            continue;
        }
        let product = work.product_name(&price);
        let quantity = item.quantity.unwrap_or(1);
        let (cost, text) = if trial {
            (0, format!("Trial period for {product}"))
        } else {
            (amount(&price, quantity), format!("{quantity} × {product} (at {})", rate(&price)))
        };
        let mut line = work.item_line(subscription, item, cost, text);
        line.unit_amount = if trial { Some(Decimal::ZERO) } else { price.unit_amount };
        lines.push(line);
    }
    Ok(lines)
}

/// A line for each metered item over the period that ends, priced by what was counted.
pub(super) fn metered_lines(work: &mut Work, subscription: &Subscription) -> Result<Vec<Line>, Fault> {
    let mut lines = Vec::new();
    for item in &subscription.items {
        let price = work.price(&item.price)?.clone();
        if !price.metered() {
            continue;
        }
        let mut line = work.item_line(subscription, item, 0, String::new());
        line.unit_amount = price.unit_amount;
        count(work, &mut line, &price, &subscription.customer);
        lines.push(line);
    }
    Ok(lines)
}

/// Brings a metered line to what was counted for its period.
fn count(work: &Work, line: &mut Line, price: &Price, customer: &str) {
    let used = super::meters::usage(work, price, customer, line.period_start, line.period_end);
    line.quantity = Some(used);
    line.amount = amount(price, used);
    line.description = format!("{used} × {} (at {})", work.product_name(price), rate(price));
}

/// Counts the metered lines of a customer's drafts again: what is reported for their periods goes on them until they
/// are final. The lines keep their prices, whatever the subscription has by now.
pub(crate) fn recount_drafts(work: &mut Work, customer: &str) -> Result<(), Fault> {
    let of_it = |invoice: &&Invoice| invoice.customer == customer && invoice.status == InvoiceStatus::Draft;
    let drafts: Vec<Invoice> = work.state.invoices.iter().filter(of_it).cloned().collect();
    for mut draft in drafts {
        let mut is_metered = false;
        for line in draft.lines.iter_mut().filter(|line| line.parent.subscription_item.is_some()) {
            let price = line.price.as_ref().and_then(|price| work.state.prices.get(price)).cloned();
            if let Some(price) = price.filter(Price::metered) {
                count(work, line, &price, customer);
                is_metered = true;
            }
        }
        if is_metered {
            let id = draft.id.clone();
            work.state.invoices.put(draft);
            super::invoice::refresh(work, &id)?;
        }
    }
    Ok(())
}

/// `$29.00 / month`, or that it has tiers.
pub(crate) fn rate(price: &Price) -> String {
    let every = match &price.recurring {
        None => String::new(),
        Some(recurring) if recurring.interval_count == 1 => format!(" / {}", recurring.interval),
        Some(recurring) => format!(" every {} {}s", recurring.interval_count, recurring.interval),
    };
    match price.unit_amount {
        Some(unit) => format!("{}{every}", money_of(unit, &price.currency)),
        None => format!("tiered rates{every}"),
    }
}

/// An amount for people: `$29.00`, `¥500`, `CHF 29.00`.
pub(crate) fn money(minor: i64, currency: &str) -> String {
    money_of(Decimal::from(minor), currency)
}

fn money_of(minor: Decimal, currency: &str) -> String {
    let digits = exponent(currency).unwrap_or(2);
    let scale = Decimal::from(10_i64.pow(digits.min(6)));
    let mut major = (minor.abs() / scale).normalize();
    if major.scale() < digits {
        major.rescale(digits);
    }
    let sign = if minor.is_sign_negative() && !minor.is_zero() { "-" } else { "" };
    match currency {
        "usd" => format!("{sign}${major}"),
        "eur" => format!("{sign}€{major}"),
        "gbp" => format!("{sign}£{major}"),
        "jpy" => format!("{sign}¥{major}"),
        other => format!("{sign}{} {major}", other.to_ascii_uppercase()),
    }
}

/// `24 Nov 2026`
pub(crate) fn day(time: Time) -> String {
    Timestamp::from_second(time).map(|at| at.strftime("%-d %b %Y").to_string()).unwrap_or_default()
}

/// `24 Nov 2026 18:31:33 UTC`
pub(crate) fn stamp(time: Time) -> String {
    Timestamp::from_second(time).map(|at| at.strftime("%-d %b %Y %H:%M:%S UTC").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        let shown = [(2900, "usd"), (-5, "eur"), (500, "jpy"), (1500, "kwd"), (0, "chf")];
        let shown = shown.map(|(minor, currency)| money(minor, currency));
        assert_eq!(shown, ["$29.00", "-€0.05", "¥500", "KWD 1.500", "CHF 0.00"]);
        assert_eq!(money_of("2.5".parse().unwrap(), "usd"), "$0.025");
        assert_eq!(day(0), "1 Jan 1970");
    }
}
