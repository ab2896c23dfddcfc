//! Tokens of users: which algorithms, which claims.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::jwks::Jwks;
use crate::http::extract::parse_uuid;
use crate::http::problem::{Code, Problem};
use crate::tenancy::users;

/// Seconds that clocks of issuers may differ from ours.
const LEEWAY: u64 = 30;

/// Whose tokens are taken.
#[derive(Debug, Clone, Default)]
pub struct TokenSettings {
    /// Shared secret of HS256 tokens.
    pub secret: Option<SecretString>,
    /// The `iss` that tokens must have, where it is set.
    pub issuer: Option<String>,
    /// The `aud` that tokens must have, where it is set.
    pub audience: Option<String>,
    /// The issuer verifies every address that it puts into a token, whether or not the token says so.
    pub issuer_verifies_emails: bool,
}

/// What is taken from a token. Roles in it mean nothing here: they are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user: `sub`.
    pub id: Uuid,
    /// `email`, where the token has one that is an address.
    pub email: Option<String>,
    /// Whether that address is the user's, as the issuer found out.
    pub email_verified: bool,
}

#[derive(Debug, Deserialize)]
struct RawClaims {
    sub: String,
    /// Issuers put anything here; what is no address must not keep its user out.
    #[serde(default)]
    email: Value,
    #[serde(default)]
    email_verified: Value,
}

/// Verifies tokens.
pub struct TokenVerifier {
    hmac: Option<DecodingKey>,
    jwks: Option<Jwks>,
    settings: TokenSettings,
}

impl std::fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenVerifier").field("jwks", &self.jwks).finish_non_exhaustive()
    }
}

impl TokenVerifier {
    /// Takes tokens by the settings' secret and by the issuer's public keys, whichever there are.
    pub fn new(settings: TokenSettings, jwks: Option<Jwks>) -> Self {
        let hmac = settings.secret.as_ref().map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes()));
        Self { hmac, jwks, settings }
    }

    /// The claims of a token that is signed, in time and meant for us. Anything else is one and the same refusal;
    /// issuers' keys that were never had are `unavailable`, since the token may be good.
    pub async fn verify(&self, token: &str) -> Result<Claims, Problem> {
        let refused = || Problem::new(Code::Unauthenticated);
        let header = decode_header(token).map_err(|_| refused())?;
        // The kind of key decides the algorithm: a public key is never taken for an HS256 secret.
        let raw = match (header.alg, &self.hmac, &self.jwks) {
            (Algorithm::HS256, Some(key), _) => self.decode(token, key, Algorithm::HS256),
            (alg @ (Algorithm::RS256 | Algorithm::ES256), _, Some(jwks)) => {
                let keys = jwks.keys_for(header.kid.as_deref(), alg).await?;
                keys.iter().find_map(|key| self.decode(token, key, alg))
            }
            _ => None,
        };
        let raw = raw.ok_or_else(refused)?;
        let id = parse_uuid(&raw.sub).ok_or_else(refused)?;
        let email = raw.email.as_str().filter(|email| users::is_address(email)).map(str::to_owned);
        // Some issuers write it as a text. Anything else is no.
        let says_so = raw.email_verified == true || raw.email_verified == "true";
        let email_verified = email.is_some() && (says_so || self.settings.issuer_verifies_emails);
        Ok(Claims { id, email, email_verified })
    }

    fn decode(&self, token: &str, key: &DecodingKey, alg: Algorithm) -> Option<RawClaims> {
        let mut validation = Validation::new(alg);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "sub"]);
        match &self.settings.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.required_spec_claims.insert("aud".to_owned());
            }
            None => validation.validate_aud = false,
        }
        if let Some(issuer) = &self.settings.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        decode::<RawClaims>(token, key, &validation).ok().map(|data| data.claims)
    }
}

/// A token of the development secret, for the command line and tests. An address in it counts as verified.
///
/// `expires_at` is seconds since 1970.
pub fn sign_development_token(
    settings: &TokenSettings,
    user: Uuid,
    email: Option<&str>,
    issued_at: i64,
    expires_at: i64,
) -> Option<String> {
    #[derive(Serialize)]
    struct Issued<'a> {
        sub: Uuid,
        #[serde(skip_serializing_if = "Option::is_none")]
        email: Option<&'a str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        email_verified: bool,
        iat: i64,
        exp: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        iss: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        aud: Option<&'a str>,
    }
    let key = EncodingKey::from_secret(settings.secret.as_ref()?.expose_secret().as_bytes());
    let (iss, aud) = (settings.issuer.as_deref(), settings.audience.as_deref());
    let claims =
        Issued { sub: user, email, email_verified: email.is_some(), iat: issued_at, exp: expires_at, iss, aud };
    encode(&Header::new(Algorithm::HS256), &claims, &key).ok()
}
