//! Proration to the second.

use crate::model::Time;

/// The part of an amount for the time that is left of a period, rounded half away from zero.
///
/// Nothing for a time after the end, all for one before the start.
pub(crate) fn remaining(amount: i64, start: Time, end: Time, at: Time) -> i64 {
    let length = i128::from(end - start);
    let left = i128::from(end - at).clamp(0, length.max(0));
    if length <= 0 {
        return 0;
    }
    let product = i128::from(amount) * left;
    let half = length / 2;
    let rounded = if product >= 0 { (product + half) / length } else { (product - half) / length };
    // No further from zero than the amount itself, so it fits.
    i64::try_from(rounded).unwrap_or(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_away_from_zero_and_the_ends_are_all_and_nothing() {
        assert_eq!(remaining(1000, 0, 100, 50), 500);
        assert_eq!(remaining(1, 0, 2, 1), 1);
        assert_eq!(remaining(-1, 0, 2, 1), -1);
        assert_eq!(remaining(999, 0, 3, 2), 333);
        assert_eq!([remaining(7, 10, 20, 0), remaining(7, 10, 20, 30), remaining(7, 5, 5, 5)], [7, 0, 0]);
    }
}
