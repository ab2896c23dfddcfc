use proptest::prelude::*;
use tenantry_domain::slug::{MAX_LENGTH, SlugError, from_name, validate, with_suffix};

#[test]
fn names_become_slugs() {
    for (name, slug) in [
        ("Acme", Some("acme")),
        ("  Acme,  Inc.  ", Some("acme-inc")),
        ("A_B-c d", Some("a-b-c-d")),
        ("Müller & Söhne", Some("muller-sohne")),
        ("\u{ff21}\u{ff22}\u{ff23} Ltd", Some("abc-ltd")),
        ("北京", Some("bei-jing")),
        ("Яндекс", Some("iandeks")),
        ("3M Europe", Some("3m-europe")),
        ("---", None),
        ("", None),
        ("AB", None),
        ("admin", None),
        ("API", None),
        ("\u{0}\u{1}", None),
        ("\u{e000}\u{e001}", None),
    ] {
        assert_eq!(from_name(name).as_deref(), slug, "{name:?}");
    }
    assert_eq!(from_name(&"long name ".repeat(100_000)).unwrap(), "long-name-long-name-long-name-long-name-long-nam");
}

#[test]
fn explicit_slugs_are_judged_and_never_changed() {
    for good in ["abc", "a-b", "3m-europe", "org-x1y2z3", &"a".repeat(48)] {
        assert_eq!(validate(good), Ok(()), "{good}");
    }
    for (bad, why) in [
        ("ab", SlugError::Length),
        (&*"a".repeat(49), SlugError::Length),
        ("", SlugError::Length),
        ("Abc", SlugError::Form),
        ("a--b", SlugError::Form),
        ("-abc", SlugError::Form),
        ("abc-", SlugError::Form),
        ("a b", SlugError::Form),
        ("a_b", SlugError::Form),
        ("äbc", SlugError::Form),
        ("a.b", SlugError::Form),
        ("abc\n", SlugError::Form),
        ("admin", SlugError::Reserved),
        ("billing", SlugError::Reserved),
    ] {
        assert_eq!(validate(bad), Err(why), "{bad:?}");
    }
}

#[test]
fn a_suffix_fits_behind_every_slug() {
    assert_eq!(with_suffix("acme", "x1y2"), "acme-x1y2");
    assert_eq!(with_suffix(&"a".repeat(48), "x1y2"), format!("{}-x1y2", "a".repeat(43)));
    assert_eq!(with_suffix(&format!("{}-bbbbb", "a".repeat(42)), "x1y2"), format!("{}-x1y2", "a".repeat(42)));
    assert_eq!(with_suffix("acme", &"r".repeat(60)), "r".repeat(48));
}

proptest! {
    #[test]
    fn whatever_a_name_gives_is_a_valid_slug(name in any::<String>()) {
        if let Some(slug) = from_name(&name) {
            prop_assert_eq!(validate(&slug), Ok(()));
            prop_assert_eq!(from_name(&slug), Some(slug));
        }
    }

    #[test]
    fn a_suffixed_slug_is_valid_and_ends_with_the_suffix(name in "[a-z]{1,20}[ -]?[a-z]{1,40}", random in "[a-z0-9]{4,12}") {
        if let Some(slug) = from_name(&name) {
            let suffixed = with_suffix(&slug, &random);
            prop_assert_eq!(validate(&suffixed), Ok(()));
            prop_assert!(suffixed.ends_with(&random) && suffixed.len() <= MAX_LENGTH);
        }
    }
}
