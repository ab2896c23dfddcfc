//! Reading requests strictly: bodies, queries, path segments, cursors. What cannot be read is named.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::problem::{Code, Problem};

/// A JSON body, read strictly: unknown, missing and wrongly typed members are refused by name.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = body_bytes(request).await?;
        parse_json(&bytes).map(Self)
    }
}

/// A query string, read strictly.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let text = parts.uri.query().unwrap_or_default();
        let form = serde_html_form::Deserializer::from_bytes(text.as_bytes());
        serde_path_to_error::deserialize(form).map(Self).map_err(|error| {
            let path = error.path().to_string();
            field_problem(&path, &error.into_inner().to_string())
        })
    }
}

/// Segments of the path. One that cannot be read is answered exactly as an id that does not exist.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|_| Problem::not_found())
    }
}

/// The body of a request that must be JSON.
pub async fn body_bytes(request: Request) -> Result<Bytes, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = kind.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(Code::UnsupportedMediaType));
    }
    bytes(request).await
}

/// The bytes of a body, whatever they are.
pub async fn bytes(request: Request) -> Result<Bytes, Problem> {
    Bytes::from_request(request, &()).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::new(Code::PayloadTooLarge)
        } else {
            Problem::new(Code::InvalidJson).detail("the body broke off before its end")
        }
    })
}

/// Reads a JSON object.
pub fn parse_json<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Problem> {
    // A struct would be read from an array too, by position.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| b"[\"0123456789-tfn".contains(first)) {
        return Err(Problem::new(Code::ValidationFailed).detail("the body must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            Category::Data => field_problem(&path, &without_position(&inner)),
            Category::Io | Category::Syntax | Category::Eof => {
                Problem::new(Code::InvalidJson).detail(format!("the body is no JSON: {inner}"))
            }
        }
    })?;
    json.end().map_err(|error| Problem::new(Code::InvalidJson).detail(format!("the body is no JSON: {error}")))?;
    Ok(value)
}

/// Whether a JSON object has a member of this name. What is no object has none.
pub fn has_member(bytes: &[u8], name: &str) -> bool {
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b'{').unwrap_or(0);
    let quoted = format!("\"{name}\"");
    // The usual case is decided by the first member; reading it all is for the others.
    bytes[start..].starts_with(quoted.as_bytes())
        || serde_json::from_slice::<HashMap<String, &RawValue>>(bytes).is_ok_and(|members| members.contains_key(name))
}

fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").map_or(text.clone(), |at| text[..at].to_owned())
}

/// The field that serde found wrong: the path it was at, and the member that its message quotes.
fn field_problem(path: &str, message: &str) -> Problem {
    let path = if path == "." || path == "?" { "" } else { path };
    let quoted = message.split('`').nth(1).unwrap_or_default();
    let names_member =
        ["unknown field", "missing field", "duplicate field"].iter().any(|kind| message.starts_with(kind));
    let field = match (names_member && !path.ends_with(quoted), path.is_empty()) {
        (true, true) => quoted.to_owned(),
        (true, false) => format!("{path}.{quoted}"),
        (false, true) => "body".to_owned(),
        (false, false) => path.to_owned(),
    };
    let message = if message.starts_with("unknown field") {
        "is not known here".to_owned()
    } else if message.starts_with("missing field") {
        "is missing".to_owned()
    } else if message.starts_with("duplicate field") {
        "is given twice".to_owned()
    } else {
        message.to_owned()
    };
    Problem::invalid(field, message)
}

/// A UUID as this interface writes it: 36 characters with hyphens, not the nil one.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten().filter(|id| !id.is_nil())
}

/// A time as RFC 3339 writes it, truncated to microseconds.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    // Only what has an offset; the extended form with a zone in brackets is not RFC 3339.
    let at: Timestamp = if text.contains('[') {
        return None;
    } else {
        text.parse().ok()?
    };
    Some(crate::usage::event::truncate_to_micros(at))
}

/// A place in a list that is ordered by time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Time of the last row of the page.
    pub time: Timestamp,
    /// Its id.
    pub id: Uuid,
}

impl Cursor {
    /// First byte, so that a later form can be told from this one.
    const VERSION: u8 = 1;

    /// As text that says nothing.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(25);
        bytes.push(Self::VERSION);
        bytes.extend(self.time.as_microsecond().to_be_bytes());
        bytes.extend(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what `encode` wrote.
    pub fn decode(text: &str) -> Result<Self, Problem> {
        let wrong = || Problem::invalid("cursor", "is no cursor; send `nextCursor` of the page before as it came");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let (version, rest) = bytes.split_first().ok_or_else(wrong)?;
        let (time, id) = rest.split_at_checked(8).ok_or_else(wrong)?;
        if *version != Self::VERSION {
            return Err(wrong());
        }
        let micros = i64::from_be_bytes(time.try_into().map_err(|_| wrong())?);
        Ok(Self {
            time: Timestamp::from_microsecond(micros).map_err(|_| wrong())?,
            id: Uuid::from_slice(id).map_err(|_| wrong())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only read")]
        b: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[expect(dead_code, reason = "only read")]
        a: Vec<Inner>,
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        for (text, code, field) in [
            (r#"{"a":[{"b":1}],"c":1}"#, Code::ValidationFailed, "c"),
            (r#"{"a":[{"b":1},{"b":2,"x":3}]}"#, Code::ValidationFailed, "a[1].x"),
            (r#"{"a":[{}]}"#, Code::ValidationFailed, "a[0].b"),
            (r#"{"a":[{"b":"x"}]}"#, Code::ValidationFailed, "a[0].b"),
            ("{}", Code::ValidationFailed, "a"),
            (r#"{"a":[],"a":[]}"#, Code::ValidationFailed, "a"),
        ] {
            let problem = parse_json::<Body>(text.as_bytes()).unwrap_err();
            assert_eq!((problem.code(), problem.errors()[0].field.as_str()), (code, field), "{text}");
        }
        for text in ["", "{", "{\"a\":[]} x", "nonsense"] {
            let problem = parse_json::<Body>(text.as_bytes()).unwrap_err();
            assert!(matches!(problem.code(), Code::InvalidJson | Code::ValidationFailed), "{text}");
        }
        assert_eq!(parse_json::<Body>(b"[[]]").unwrap_err().code(), Code::ValidationFailed);
    }

    #[test]
    fn cursors_come_back_and_others_are_refused() {
        let cursor = Cursor { time: "2026-11-24T10:00:00.000001Z".parse().unwrap(), id: Uuid::from_u128(7) };
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        for text in ["", "AA", "%%%", "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(Cursor::decode(text).unwrap_err().code(), Code::ValidationFailed, "{text}");
        }
    }

    #[test]
    fn members_are_found_wherever_they_stand() {
        assert!(has_member(br#" { "events": [] }"#, "events"));
        assert!(has_member(br#"{"a":{"events":1},"events":[]}"#, "events"));
        assert!(!has_member(br#"{"a":{"events":1}}"#, "events"));
        assert!(!has_member(b"[]", "events"));
    }
}
