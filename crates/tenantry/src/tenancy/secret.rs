//! The form of secrets that we make, API keys and tokens of invitations: a prefix that scanners know, and in URL-safe
//! base64 ids, 32 random bytes and a checksum. The ids say where to look; they prove nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

const ID: usize = 16;
/// Random bytes of a secret.
pub const SECRET: usize = 32;
const CHECKSUM: usize = 4;

/// The secret of these ids and random bytes.
pub fn encode(prefix: &str, ids: &[Uuid], random: &[u8; SECRET]) -> String {
    let mut bytes = Vec::with_capacity(ids.len() * ID + SECRET + CHECKSUM);
    bytes.extend(ids.iter().flat_map(Uuid::as_bytes));
    bytes.extend(random);
    bytes.extend(checksum(&bytes));
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The ids of a secret, and what its random bytes are stored as. A mistyped one is seen by its checksum, without asking
/// the database.
pub fn decode<const IDS: usize>(prefix: &str, text: &str) -> Option<([Uuid; IDS], [u8; 32])> {
    let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(prefix)?).ok()?;
    let (body, check) = bytes.split_at_checked(IDS * ID + SECRET)?;
    if check != checksum(body) {
        return None;
    }
    let (ids, random) = body.split_at(IDS * ID);
    let mut found = [Uuid::nil(); IDS];
    for (place, id) in found.iter_mut().zip(ids.chunks_exact(ID)) {
        *place = Uuid::from_slice(id).ok()?;
    }
    Some((found, digest(random)))
}

/// SHA-256 of the random bytes, which are random enough that nothing slower is needed.
pub fn digest(random: &[u8]) -> [u8; 32] {
    Sha256::digest(random).into()
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let digest = digest(body);
    [digest[0], digest[1], digest[2], digest[3]]
}
