//! Checks requests and answers against the OpenAPI document of Stripe. For tests only.
