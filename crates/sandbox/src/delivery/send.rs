//! One attempt: signature and request.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::model::Time;
use crate::settings::SandboxError;

/// Stripe waits about as long.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Client(reqwest::Client);

/// What goes to an endpoint.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) url: String,
    pub(super) secrets: Vec<String>,
    /// Real time: receivers refuse what is old by their own clock.
    pub(super) timestamp: Time,
    pub(super) body: String,
    /// The invoice that an `invoice.created` tells of.
    pub(super) created_invoice: Option<String>,
}

impl Client {
    pub(super) fn new() -> Result<Self, SandboxError> {
        // Another part of the process may have installed one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| SandboxError::Client(error.to_string()))?;
        Ok(Self(client))
    }

    /// Sends a payload: the status of the answer, or why there was none.
    pub(super) async fn send(&self, payload: &Payload) -> Result<u16, String> {
        let request = (self.0.post(&payload.url))
            .header("content-type", "application/json; charset=utf-8")
            .header("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
            .header("stripe-signature", signature(payload))
            .body(payload.body.clone());
        let response = request.send().await.map_err(|error| error.without_url().to_string())?;
        Ok(response.status().as_u16())
    }
}

/// `t=<seconds>,v1=<hex>`, one `v1` for each secret.
fn signature(payload: &Payload) -> String {
    let mut header = format!("t={}", payload.timestamp);
    for secret in &payload.secrets {
        // A key of any length is fine for an HMAC.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { continue };
        mac.update(format!("{}.{}", payload.timestamp, payload.body).as_bytes());
        header.push_str(",v1=");
        header.push_str(&hex::encode(mac.finalize().into_bytes()));
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_signs_time_and_body() {
        let payload = Payload {
            url: String::new(),
            secrets: vec!["whsec_one".into(), "whsec_two".into()],
            timestamp: 1_700_000_000,
            body: "{}".into(),
            created_invoice: None,
        };
        let header = signature(&payload);
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac whsec_one
        let one = "e6f424c1ebf2679ddb75df801d64b07e5063e2d7d6834ab73f5c55d787278d9d";
        let two = "7188126e292daca991f04e6d27bcc33705bef535a4a6c4687864d1c7315003b0";
        assert_eq!(header, format!("t=1700000000,v1={one},v1={two}"));
    }
}
