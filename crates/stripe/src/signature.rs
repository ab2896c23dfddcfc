//! Signatures of webhooks: HMAC-SHA256 over `<seconds>.<body>`, told in the header `Stripe-Signature`.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// How far the time of a signature may be from now, in either direction.
pub const TOLERANCE: Duration = Duration::from_mins(5);
/// Bytes of a signature.
const LENGTH: usize = 32;
/// Signatures of a header that are looked at; Stripe sends one for each secret that is valid during a roll.
const MOST: usize = 16;

/// Why a delivery is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is nothing to check against.
    #[error("no webhook secret is configured; set one")]
    NoSecret,
    /// An empty secret would make everybody Stripe.
    #[error("a webhook secret is empty; set it to the one that Stripe shows, whsec_…")]
    EmptySecret,
    /// The header has no usable time.
    #[error("the signature header has no `t=` with seconds since 1970")]
    NoTime,
    /// The header has more than one time: none of them is what was signed.
    #[error("the signature header has more than one `t=`")]
    TwoTimes,
    /// The header has no signature of the known scheme.
    #[error("the signature header has no `v1=`")]
    NoSignature,
    /// A signature is not 64 hexadecimal digits.
    #[error("a `v1=` of the signature header is not 64 hexadecimal digits")]
    BadSignature,
    /// More signatures than anybody sends.
    #[error("the signature header has more than {MOST} `v1=`")]
    TooMany,
    /// A part of the header is no `name=value`.
    #[error("the signature header has a part without `=`")]
    BadPart,
    /// None of the signatures is right.
    #[error("no signature matches; the secret is another one, or the body was changed")]
    Mismatch,
    /// Signed too long ago: it may be replayed.
    #[error("the signature is older than {} s", TOLERANCE.as_secs())]
    TooOld,
    /// Signed in the future: a clock is wrong, or somebody saves it for later.
    #[error("the signature is more than {} s in the future; look at this machine's clock", TOLERANCE.as_secs())]
    TooNew,
}

/// Checks a delivery: some `v1` of the header is right for one of the secrets (there are two while one is rolled), and
/// was made within [`TOLERANCE`] of `now`.
pub fn verify(payload: &[u8], header: &str, secrets: &[SecretString], now: Timestamp) -> Result<(), SignatureError> {
    if secrets.is_empty() {
        return Err(SignatureError::NoSecret);
    }
    if secrets.iter().any(|secret| secret.expose_secret().trim().is_empty()) {
        return Err(SignatureError::EmptySecret);
    }
    let header = Header::parse(header)?;
    // Every pair is compared, so that the time says nothing about which one was right.
    let mut right = subtle::Choice::from(0);
    for secret in secrets {
        let expected = digest(payload, secret, header.seconds_text);
        for given in &header.signatures {
            right |= expected.ct_eq(given);
        }
    }
    if !bool::from(right) {
        return Err(SignatureError::Mismatch);
    }
    let age = i128::from(now.as_second()) - i128::from(header.seconds);
    let tolerance = i128::from(TOLERANCE.as_secs());
    if age > tolerance {
        return Err(SignatureError::TooOld);
    }
    if age < -tolerance {
        return Err(SignatureError::TooNew);
    }
    Ok(())
}

/// The header for a payload, as Stripe would send it at this time. For stand-ins and tests.
pub fn sign(payload: &[u8], secret: &SecretString, at: Timestamp) -> String {
    let seconds = at.as_second().to_string();
    let signature = hex::encode(digest(payload, secret, &seconds));
    format!("t={seconds},v1={signature}")
}

struct Header<'a> {
    seconds: i64,
    /// As it stands in the header: this is what was signed.
    seconds_text: &'a str,
    signatures: Vec<[u8; LENGTH]>,
}

impl<'a> Header<'a> {
    fn parse(header: &'a str) -> Result<Self, SignatureError> {
        let mut time = None;
        let mut signatures = Vec::new();
        for part in header.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or(SignatureError::BadPart)?;
            match name {
                "t" if time.is_some() => return Err(SignatureError::TwoTimes),
                "t" => time = Some(value),
                "v1" if signatures.len() == MOST => return Err(SignatureError::TooMany),
                "v1" => signatures.push(bytes(value).ok_or(SignatureError::BadSignature)?),
                // Schemes that are not known, such as the v0 of test events.
                _ => {}
            }
        }
        let seconds_text = time.ok_or(SignatureError::NoTime)?;
        let digits = !seconds_text.is_empty() && seconds_text.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = seconds_text.parse().ok().filter(|_| digits).ok_or(SignatureError::NoTime)?;
        if signatures.is_empty() {
            return Err(SignatureError::NoSignature);
        }
        Ok(Self { seconds, seconds_text, signatures })
    }
}

fn bytes(hexadecimal: &str) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    hex::decode_to_slice(hexadecimal, &mut bytes).ok()?;
    Some(bytes)
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn digest(payload: &[u8], secret: &SecretString, seconds: &str) -> [u8; LENGTH] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("a key of any length");
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(payload);
    mac.finalize().into_bytes().into()
}
