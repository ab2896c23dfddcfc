//! Fields of requests, as far as the database would refuse them or people would be misled by them.

use super::TenancyError;

/// Longest name of a tenant, in characters.
pub(super) const MAX_TENANT_NAME: usize = 200;
/// Longest name of a key, in characters.
pub(super) const MAX_KEY_NAME: usize = 100;

/// A name for people: trimmed, not empty, without control characters.
pub(super) fn name(field: &'static str, text: &str, longest: usize) -> Result<String, TenancyError> {
    let trimmed = text.trim();
    let length = trimmed.chars().count();
    if length == 0 || length > longest {
        return Err(TenancyError::invalid(field, format!("must be 1 to {longest} characters")));
    }
    if trimmed.chars().any(char::is_control) {
        return Err(TenancyError::invalid(field, "must not contain control characters"));
    }
    Ok(trimmed.to_owned())
}

/// An e-mail address, as far as one can tell without writing to it.
pub(super) fn email(field: &'static str, text: &str) -> Result<String, TenancyError> {
    let well_formed =
        text.split_once('@').is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'));
    let length = text.chars().count();
    if !well_formed || length > 320 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(TenancyError::invalid(field, "must be an e-mail address of at most 320 characters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(name("name", "  Acme; drop table '\"  ", 200).unwrap(), "Acme; drop table '\"");
        for bad in ["", "   ", "a\0b", "a\nb", &"x".repeat(201)] {
            assert!(name("name", bad, 200).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_have_two_sides() {
        for good in ["a@b", "zoë@exämple.org", "a+b@c.d"] {
            assert_eq!(email("email", good).unwrap(), good);
        }
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\n", &format!("a@{}", "x".repeat(320))] {
            assert!(email("email", bad).is_err(), "{bad:?}");
        }
    }
}
