//! The log of all tests of this process, which no secret may be in: who writes one ends the run.
//!
//! What is written goes nowhere. Our own code is heard to the last detail, libraries as far as somebody who looks for a
//! fault would turn them up; the database's driver as far as the server ever lets it be.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

const HEARD: &str =
    "debug,tokio_postgres=info,tenantry=trace,tenantry_stripe=trace,tenantry_sandbox=trace,tenantry_embedded=trace";

/// What secrets begin with, and how many more of their characters make one. Shorter ones are names of them in texts, or
/// what is shown of a key to recognize it by.
const SECRETS: &[(&str, usize)] =
    &[("tk_", 20), ("ti_", 20), ("whsec_", 8), ("sk_test_", 5), ("sk_live_", 5), ("rk_test_", 5), ("eyJ", 40)];

/// Texts that are secrets of these tests.
const TEXTS: &[&str] =
    &["password-of-the-tests", "secret-of-the-tests", "hunter2", "BEGIN PRIVATE KEY", "BEGIN EC PRIVATE"];

/// Listens from now on. Only the first call does something.
pub(crate) fn listen() {
    let logs = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(HEARD)).with_writer(Watched).with_ansi(false);
    // Somebody listens already.
    let _ = logs.try_init();
}

struct Watched;

impl<'a> MakeWriter<'a> for Watched {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl io::Write for Watched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if let Some(secret) = secret_in(&text) {
            // Not by the macro, whose text would end with this test's.
            let _ = writeln!(io::stderr(), "a secret ({secret}...) is in the log: {text}");
            std::process::exit(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a secret in a text begins.
fn secret_in(text: &str) -> Option<&'static str> {
    let is_of_one = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let begins = SECRETS.iter().find(|(begin, length)| {
        text.match_indices(begin).any(|(at, _)| {
            // In the middle of a word it is no beginning.
            !text[..at].ends_with(is_of_one)
                && text[at + begin.len()..].chars().take_while(|character| is_of_one(*character)).count() >= *length
        })
    });
    begins.map(|(begin, _)| *begin).or_else(|| TEXTS.iter().copied().find(|secret| text.contains(secret)))
}

#[test]
fn secrets_are_told_from_what_only_looks_like_them() {
    let key = format!("key=tk_{}", "A".repeat(70));
    for text in
        [&*key, "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg", "\"whsec_c2VjcmV0czEy\""]
    {
        assert!(secret_in(text).is_some(), "{text}");
    }
    for text in ["the key tk_AbCd... was made", "prefix=tk_AZ3pXy12", "a whsec_ secret", "risk_test_results", "eyJ"] {
        assert_eq!(secret_in(text), None, "{text}");
    }
}
