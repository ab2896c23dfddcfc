//! Hashing several fields without ambiguity.

use sha2::{Digest as _, Sha256};

/// SHA-256 over a purpose and fields, each behind its length (4 bytes, big endian), so that no two lists of
/// fields have the same encoding.
pub(super) fn length_prefixed(purpose: &[u8], fields: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for field in std::iter::once(&purpose).chain(fields) {
        // Fields are ids, names and request bodies, all bounded far below 4 GiB.
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        hasher.update(length.to_be_bytes());
        hasher.update(field);
    }
    hasher.finalize().into()
}
