use std::path::Path;
use std::process::{Command, Output};

use tenantry_stripe_spec::{DOCUMENT, LoadError, Spec};

#[test]
fn a_folder_without_a_document_is_named() {
    let error = Spec::read(Path::new("/nonexistent")).unwrap_err();
    assert!(matches!(error, LoadError::Missing(_)), "{error}");
    assert!(error.to_string().contains("/nonexistent: set STRIPE_SPEC_DIR"), "{error}");
}

/// Does nothing by itself; the tests below run it in a process of its own, without the folder.
#[test]
fn needs_the_document() {
    let Some(spec) = Spec::or_ignore("needs_the_document") else { return };
    assert_eq!(spec.version(), Some(DOCUMENT), "another document: review the differences, then name it");
}

fn without_document(ci: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "absent::needs_the_document"]).env("STRIPE_SPEC_DIR", "/nonexistent").env_remove("CI");
    if let Some(ci) = ci {
        command.env("CI", ci);
    }
    command.output().unwrap()
}

#[test]
fn a_test_without_the_document_says_so_loudly() {
    for ci in [None, Some("false")] {
        let output = without_document(ci);
        assert!(output.status.success(), "{output:?}");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains("IGNORED, NOT TESTED: needs_the_document: no openapi.v1.*.json"), "{output:?}");
    }
}

#[test]
fn a_test_without_the_document_fails_in_continuous_integration() {
    let output = without_document(Some("true"));
    assert!(!output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("needs_the_document cannot run"), "{output:?}");
}
