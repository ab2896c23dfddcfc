//! The form of API keys: `tk_` and, in URL-safe base64, the key's id, 32 random bytes and a checksum.

use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::env::Env;
use crate::tenancy::secret;

/// What every API key begins with.
pub const KEY_PREFIX: &str = "tk_";
/// Characters of a key that lists show.
const SHOWN: usize = 14;

/// A key that was made just now.
pub struct MintedKey {
    /// Its id.
    pub id: Uuid,
    /// SHA-256 of its random bytes: they are random enough that nothing slower is needed.
    pub hash: [u8; 32],
    /// Its first characters, to recognize it by.
    pub prefix: String,
    secret: String,
}

impl MintedKey {
    /// The key itself, for the one time that it is shown.
    pub fn expose(&self) -> &str {
        &self.secret
    }
}

impl std::fmt::Debug for MintedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MintedKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Makes a key.
pub fn mint_key(env: &Env) -> MintedKey {
    let id = env.ids.uuid_v7(env.clock.now());
    let random = env.ids.bytes::<{ secret::SECRET }>();
    let secret = secret::encode(KEY_PREFIX, &[id], &random);
    MintedKey { id, hash: secret::digest(&random), prefix: secret.chars().take(SHOWN).collect(), secret }
}

/// A key as a caller sent it; its form is right, whether it exists is not known.
pub struct PresentedSecret {
    /// The id it claims.
    pub id: Uuid,
    hash: [u8; 32],
}

impl std::fmt::Debug for PresentedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresentedSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PresentedSecret {
    /// Whether it is the key with this hash, in constant time.
    pub fn matches(&self, stored: &[u8; 32]) -> bool {
        self.hash.ct_eq(stored).into()
    }
}

/// Reads a key; a mistyped one is seen by its checksum, without asking the database.
pub fn parse_key(text: &str) -> Option<PresentedSecret> {
    let ([id], hash) = secret::decode(KEY_PREFIX, text)?;
    Some(PresentedSecret { id, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_and_a_mistyped_one_does_not() {
        let env = Env::manual("2026-11-24T00:00:00Z".parse().unwrap(), 7);
        let minted = mint_key(&env);
        let presented = parse_key(minted.expose()).unwrap();
        assert_eq!(presented.id, minted.id);
        assert!(presented.matches(&minted.hash));
        assert!(!presented.matches(&[0; 32]));
        assert!(!format!("{minted:?}{presented:?}").contains(&minted.expose()[SHOWN..]));
        let mut typo = minted.expose().to_owned();
        let last = typo.pop().unwrap();
        typo.push(if last == 'A' { 'B' } else { 'A' });
        for text in [typo.as_str(), "tk_", "tk_AAAA", "sk_x", ""] {
            assert!(parse_key(text).is_none(), "{text}");
        }
    }
}
