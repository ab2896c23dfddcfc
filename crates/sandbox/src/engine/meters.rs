//! What meters counted.

use rust_decimal::prelude::ToPrimitive as _;
use rust_decimal::{Decimal, RoundingStrategy};

use super::work::Work;
use crate::model::{MeterEvent, Price, Time};

/// The quantity of a metered price for a customer from a start to before an end. Below zero counts as nothing.
pub(super) fn usage(work: &Work, price: &Price, customer: &str, start: Time, end: Time) -> i64 {
    let meter = price.recurring.as_ref().and_then(|recurring| recurring.meter.as_deref());
    let Some(meter) = meter.and_then(|id| work.state.meters.get(id)) else { return 0 };
    let ours = |event: &&MeterEvent| {
        event.event_name == meter.event_name
            && event.payload.get(&meter.customer_key).is_some_and(|named| named == customer)
            && (start..end).contains(&event.timestamp)
    };
    let events = work.state.meter_events.iter().filter(ours);
    let value = |event: &MeterEvent| -> Decimal {
        event.payload.get(&meter.value_key).and_then(|value| value.parse().ok()).unwrap_or_default()
    };
    let total = match meter.formula.as_str() {
        "count" => Decimal::from(events.count()),
        "last" => events.max_by_key(|event| event.timestamp).map(value).unwrap_or_default(),
        _ => events.map(value).fold(Decimal::ZERO, Decimal::saturating_add),
    };
    let rounded = total.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    rounded.to_i64().unwrap_or(i64::MAX).max(0)
}
