//! `tenantry openapi`

use std::process::ExitCode;

use super::output::Output;
use super::{Failure, Session};
use crate::http::router;

pub(super) fn run(_session: &Session) -> Result<ExitCode, Failure> {
    Output::json(&router::document())?;
    Ok(ExitCode::SUCCESS)
}
