//! Whom `request.jwt.claims` names: the subject of a JSON object, and nobody of anything else, never an error.

use tokio_postgres::Client;
use uuid::Uuid;

use super::world::{A, B, TwoTenants};
use crate::support::TestDb;

/// What the database takes a text's subject for.
async fn claimed(client: &Client, claims: &str) -> Option<Uuid> {
    client.query_one("select set_config('request.jwt.claims', $1, false)", &[&claims]).await.unwrap();
    client.query_one("select tenantry.current_user_id()", &[]).await.unwrap().get(0)
}

/// The same by casting, where the cast succeeds; none where it does not.
async fn cast(client: &Client, claims: &str) -> Option<Uuid> {
    let row = client.query_one("select $1::text::json ->> 'sub'", &[&claims]).await.ok()?;
    let subject: Option<String> = row.get(0);
    Uuid::try_parse(&subject?).ok()
}

#[tokio::test]
async fn attack_06_claims_that_are_no_json_are_nobody() {
    let world = TwoTenants::new().await;
    let reader = world.test.user_client().await;
    let mine =
        format!(r#"{{"sub": "{}", "aud": ["x"], "exp": 1.5e3, "user_metadata": {{"name": "Zoë \"\\"}}}}"#, A.user);
    assert_eq!(claimed(&reader, &mine).await, Some(A.user));
    let seen = async || reader.query("select id from tenantry.tenants", &[]).await.unwrap().len();
    assert_eq!(seen().await, 1);
    let nested = format!(r#"{{"user_metadata": {{"sub": "{}"}}}}"#, B.user);
    let deep = format!(r#"{{"sub": "{}", "x": {}{}}}"#, A.user, "[".repeat(5000), "]".repeat(5000));
    for text in
        ["", " ", "x", "{", "{}", "[]", "null", "7", "\"a\"", "{\"sub\": 7}", "{sub: 1}", &mine[1..], &nested, &deep]
    {
        assert_eq!(claimed(&reader, text).await, None, "{text:.80}");
        assert_eq!(seen().await, 0, "{text:.80}");
    }
}

/// Pieces of texts that are JSON now and then.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\t",
    "\"",
    "\\",
    "\"\"",
    "\"a\"",
    "0",
    "-1",
    "01",
    "1.5",
    ".5",
    "1e5",
    "1e999999",
    "-",
    "true",
    "false",
    "null",
    "nul",
    "\"\\u0000\"",
    "\"\\u00e9\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\x\"",
    "\"\u{1}\"",
    "\"sub\":",
    "\"sub\":\"00000000-0000-0000-0000-00000000000a\"",
    "{\"a\":[1,{}]}",
    "é",
    "'",
    "\\u0041",
    "s",
    "00",
    "/**/",
];

#[tokio::test]
async fn what_is_taken_for_json_is_what_the_database_can_cast() {
    let test = TestDb::new().await;
    let (reader, oracle) = (test.user_client().await, test.admin_client().await);
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let mut named = 0;
    for _ in 0..4000 {
        // An object that would do, with up to three pieces put in or taken out anywhere.
        let mut letters: Vec<char> =
            r#"{"sub":"00000000-0000-0000-0000-00000000000b","n":[-0.5e+1,true,{"k":null}],"t":"x\n\""}"#.chars().collect();
        for _ in 0..below(4) {
            let at = below(letters.len() + 1);
            if below(3) == 0 {
                letters.drain(at..(at + below(4)).min(letters.len()));
            } else {
                letters.splice(at..at, PIECES[below(PIECES.len())].chars());
            }
        }
        let claims: String = letters.into_iter().collect();
        let due = cast(&oracle, &claims).await;
        assert_eq!(claimed(&reader, &claims).await, due, "{claims}");
        named += i32::from(due.is_some());
    }
    assert!((500..3500).contains(&named), "{named} of 4000 texts named somebody");
}
