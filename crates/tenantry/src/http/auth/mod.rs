//! Who asks: tokens of users, API keys, and the headers that name a tenant. Pure but for fetching keys of issuers.

mod api_key;
mod context;
mod jwks;
mod token;

pub use api_key::{KEY_PREFIX, MintedKey, PresentedSecret, mint_key, parse_key};
pub use context::{ContextHeader, context_header};
pub use jwks::{Jwks, JwksTimes};
pub use token::{Claims, TokenSettings, TokenVerifier, sign_development_token};
