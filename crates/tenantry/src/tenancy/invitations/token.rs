//! The form of invitations' tokens: `ti_` and, in URL-safe base64, the tenant's id, the invitation's, 32 random bytes
//! and a checksum. The ids say which tenant a transaction is to be opened for; they prove nothing.

use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::env::Env;
use crate::tenancy::secret;

/// What every token begins with, so that scanners for secrets find it.
pub const PREFIX: &str = "ti_";

/// A token that was made just now.
pub struct MintedToken {
    /// The invitation.
    pub invitation_id: Uuid,
    /// SHA-256 of its random bytes: they are random enough that nothing slower is needed.
    pub hash: [u8; 32],
    text: String,
}

impl MintedToken {
    /// A token of a new invitation.
    pub fn new(env: &Env, tenant: Uuid) -> Self {
        Self::of(env, tenant, env.ids.uuid_v7(env.clock.now()))
    }

    /// Another token of an invitation.
    pub fn of(env: &Env, tenant: Uuid, invitation_id: Uuid) -> Self {
        let random = env.ids.bytes::<{ secret::SECRET }>();
        let text = secret::encode(PREFIX, &[tenant, invitation_id], &random);
        Self { invitation_id, hash: secret::digest(&random), text }
    }

    /// The token itself, for the one time that it is shown and the one mail that says it.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Debug for MintedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MintedToken").field("invitation_id", &self.invitation_id).finish_non_exhaustive()
    }
}

/// A token as somebody sent it; its form is right, whether it is good for anything is not known.
pub struct PresentedToken {
    /// The tenant that it claims.
    pub tenant_id: Uuid,
    /// The invitation that it claims.
    pub invitation_id: Uuid,
    hash: [u8; 32],
}

impl std::fmt::Debug for PresentedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresentedToken").field("invitation_id", &self.invitation_id).finish_non_exhaustive()
    }
}

impl PresentedToken {
    /// Reads a token; a mistyped one is seen by its checksum, without asking the database.
    pub fn parse(text: &str) -> Option<Self> {
        let ([tenant_id, invitation_id], hash) = secret::decode(PREFIX, text)?;
        Some(Self { tenant_id, invitation_id, hash })
    }

    /// Whether it is the token with this hash, in constant time.
    pub(super) fn matches(&self, stored: &[u8; 32]) -> bool {
        self.hash.ct_eq(stored).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_and_a_mistyped_one_does_not() {
        let env = Env::manual("2026-11-24T00:00:00Z".parse().unwrap(), 7);
        let tenant = Uuid::from_u128(9);
        let minted = MintedToken::new(&env, tenant);
        let presented = PresentedToken::parse(minted.expose()).unwrap();
        assert_eq!((presented.tenant_id, presented.invitation_id), (tenant, minted.invitation_id));
        assert!(presented.matches(&minted.hash));
        let newer = MintedToken::of(&env, tenant, minted.invitation_id);
        assert!(!presented.matches(&newer.hash));
        assert!(!format!("{minted:?}{presented:?}").contains(&minted.expose()[PREFIX.len()..]));
        let mut typo = minted.expose().to_owned();
        let last = typo.pop().unwrap();
        typo.push(if last == 'A' { 'E' } else { 'A' });
        for text in [typo.as_str(), "ti_", "ti_AAAA", "tk_x", "", &minted.expose().replace("ti_", "tk_")] {
            assert!(PresentedToken::parse(text).is_none(), "{text}");
        }
    }
}
