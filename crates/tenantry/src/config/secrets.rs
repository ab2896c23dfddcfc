//! The secret of tokens: given, or made for development. Secrets that are made are kept in the data folder.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Config, ConfigError, Environment};
use crate::env::Ids;

/// Bytes that a secret has at least in production.
const LEAST_BYTES: usize = 32;
/// Secrets that stand in examples.
const WELL_KNOWN: &[&str] =
    &["secret", "changeme", "your-secret", "super-secret-jwt-token-with-at-least-32-characters-long"];

/// The secret of HS256 tokens, and whether it was made here.
#[derive(Debug, Clone)]
pub struct JwtSecret {
    /// The secret.
    pub secret: SecretString,
    /// It lies in the data folder, since the deployment gave none.
    pub is_generated: bool,
}

/// The secret of tokens. None where tokens come from an issuer with public keys only.
///
/// In development a missing one is made and kept in the data folder; in production it is refused.
pub fn jwt_secret(config: &Config, ids: &Ids) -> Result<Option<JwtSecret>, ConfigError> {
    if let Some(secret) = &config.jwt_secret {
        if config.env == Environment::Production {
            refuse_weak(secret)?;
        }
        return Ok(Some(JwtSecret { secret: secret.clone(), is_generated: false }));
    }
    if config.jwks_url.is_some() {
        return Ok(None);
    }
    if config.env == Environment::Production {
        return Err(ConfigError::Secret(
            "JWT_SECRET is missing: set it to 32 or more random bytes (`openssl rand -base64 48`), or set JWKS_URL"
                .to_owned(),
        ));
    }
    let secret = kept(&config.data_dir.join("jwt-secret"), || URL_SAFE_NO_PAD.encode(ids.bytes::<32>()))?;
    Ok(Some(JwtSecret { secret, is_generated: true }))
}

fn refuse_weak(secret: &SecretString) -> Result<(), ConfigError> {
    let text = secret.expose_secret();
    if text.len() < LEAST_BYTES || WELL_KNOWN.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(ConfigError::Secret(format!(
            "JWT_SECRET is too weak for production: it needs {LEAST_BYTES} or more random bytes (`openssl rand -base64 48`)"
        )));
    }
    Ok(())
}

/// The secret in this file, made if there is none.
pub(super) fn kept(path: &Path, make: impl FnOnce() -> String) -> Result<SecretString, ConfigError> {
    let failed = |source: std::io::Error| ConfigError::DataDir { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned().into()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let secret = make();
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    let mut file =
        std::fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    writeln!(file, "{secret}").map_err(failed)?;
    Ok(secret.into())
}
