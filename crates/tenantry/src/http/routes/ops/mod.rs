//! For whoever runs the server: health, readiness, figures, documents.

pub mod docs;
pub mod healthz;
pub mod metrics;
pub mod readyz;
