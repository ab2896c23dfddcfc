//! Checks requests and answers against the OpenAPI document that Stripe publishes. For tests only.
//!
//! The document lies outside the repository: in the folder that `STRIPE_SPEC_DIR` names, by default `../shared/stripe`
//! beside the repository. A test that needs it begins with
//!
//! ```text
//! let Some(spec) = Spec::or_ignore("what the test is called") else { return };
//! ```
//!
//! The test runner cannot be told at run time that a test was ignored. Where the folder is missing, a line on standard
//! error says so, past the runner's capture; where `CI` is `true` the test fails.

mod check;
mod differences;
mod document;
mod form;
mod location;
mod request;
mod response;
mod violation;

pub use differences::{
    AnswerDifference, Because, DOCUMENT, PINNED, RequestDifference, answer_differences, request_differences,
};
pub use document::Spec;
pub use form::decode;
pub use location::LoadError;
pub use violation::Violation;
