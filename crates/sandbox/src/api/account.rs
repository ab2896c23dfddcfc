//! The account that the key belongs to.

use serde_json::json;

use super::{Call, Route, get};
use crate::engine::Work;
use crate::fault::Answer;
use crate::http::ONE;

pub(super) const ROUTES: &[Route] = &[get("/v1/account", &[ONE], retrieve)];

#[expect(clippy::unnecessary_wraps, reason = "every endpoint has this type")]
fn retrieve(_: &mut Work, _: &Call) -> Answer {
    Ok(json!({
        "id": "acct_sandbox",
        "object": "account",
        "business_profile": { "name": "Sandbox" },
        "charges_enabled": true,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": true,
        "email": null,
        "payouts_enabled": true,
        "settings": { "dashboard": { "display_name": "Sandbox", "timezone": "Etc/UTC" } },
        "type": "standard",
    }))
}
