//! The checker against what it must catch: each mutation of a good request or answer is a violation.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

mod absent;
mod answers;
mod forms;
mod requests;

use tenantry_stripe_spec::Violation;

/// The only violation, in words.
fn only(violations: &[Violation]) -> String {
    let [violation] = violations else { panic!("one violation is due: {violations:#?}") };
    violation.to_string()
}
