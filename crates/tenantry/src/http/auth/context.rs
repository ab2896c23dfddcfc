//! The headers that name the tenant of a request.

use axum::http::HeaderMap;
use uuid::Uuid;

use crate::http::extract::parse_uuid;
use crate::http::problem::{Code, Problem};

/// What the headers say. Headers that other products trust (`X-User-Id`, `X-Role`, ...) mean nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextHeader {
    /// No tenant is named: the caller's own.
    None,
    /// `X-Organization-Id`.
    Organization(Uuid),
    /// `X-Tenant-Id`, for service keys.
    Tenant(Uuid),
    /// `X-Team-Id`: a team whose owner's plan is used.
    Team(Uuid),
}

/// Reads the context headers. Anything but one hyphenated UUID is refused, never ignored: a caller that names a
/// tenant must not end up in another one.
pub fn context_header(headers: &HeaderMap) -> Result<ContextHeader, Problem> {
    let organization = one(headers, "x-organization-id")?;
    let tenant = one(headers, "x-tenant-id")?;
    let team = one(headers, "x-team-id")?;
    match (organization, tenant, team) {
        (None, None, None) => Ok(ContextHeader::None),
        (Some(id), None, None) => Ok(ContextHeader::Organization(id)),
        (None, Some(id), None) => Ok(ContextHeader::Tenant(id)),
        (None, None, Some(id)) => Ok(ContextHeader::Team(id)),
        (Some(_), Some(_), _) => Err(wrong("X-Tenant-Id", "and X-Organization-Id are both given; send one of them")),
        (Some(_), _, Some(_)) => Err(wrong("X-Team-Id", "and X-Organization-Id are both given; send one of them")),
        (_, Some(_), Some(_)) => Err(wrong("X-Team-Id", "and X-Tenant-Id are both given; send one of them")),
    }
}

fn one(headers: &HeaderMap, name: &'static str) -> Result<Option<Uuid>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let id = value.to_str().ok().and_then(parse_uuid);
            id.map(Some).ok_or_else(|| wrong(name, "must be one UUID, 36 characters with hyphens"))
        }
        (Some(_), Some(_)) => Err(wrong(name, "is given more than once")),
    }
}

fn wrong(name: &str, what: &str) -> Problem {
    Problem::new(Code::InvalidContextHeader).detail(format!("{name} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_02_only_one_plain_uuid_names_a_tenant() {
        let id = "0190f5a2-7c1e-7b7a-8f00-000000000001";
        let read = |name: &'static str, values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name, value.parse().unwrap());
            }
            context_header(&headers)
        };
        let uuid: Uuid = id.parse().unwrap();
        let named = [
            ("x-organization-id", ContextHeader::Organization(uuid)),
            ("x-tenant-id", ContextHeader::Tenant(uuid)),
            ("x-team-id", ContextHeader::Team(uuid)),
        ];
        for (name, due) in named {
            assert_eq!(read(name, &[id]).unwrap(), due);
        }
        assert_eq!(read("x-team-id", &[]).unwrap(), ContextHeader::None);
        let list = format!("{id}, {id}");
        let (spaced, trailing) = (format!("{id} x"), format!("{id} "));
        let braced = format!("{{{id}}}");
        let urn = format!("urn:uuid:{id}");
        let simple = id.replace('-', "");
        for values in [
            vec![id, id],
            vec![list.as_str()],
            vec![""],
            vec!["null"],
            vec!["acme"],
            vec![spaced.as_str()],
            vec![trailing.as_str()],
            vec!["00000000-0000-0000-0000-000000000000"],
            vec![braced.as_str()],
            vec![urn.as_str()],
            vec![simple.as_str()],
        ] {
            for (name, _) in named {
                let problem = read(name, &values).unwrap_err();
                assert_eq!(problem.code(), Code::InvalidContextHeader, "{name}: {values:?}");
            }
        }
    }

    #[test]
    fn attack_02_two_headers_never_name_the_tenant_together() {
        let names = ["x-organization-id", "x-tenant-id", "x-team-id"];
        for (first, second) in [(0, 1), (0, 2), (1, 2)] {
            let mut headers = HeaderMap::new();
            for name in [names[first], names[second]] {
                headers.append(name, "0190f5a2-7c1e-7b7a-8f00-000000000001".parse().unwrap());
            }
            assert_eq!(context_header(&headers).unwrap_err().code(), Code::InvalidContextHeader, "{headers:?}");
        }
    }

    #[test]
    fn attack_04_headers_that_others_trust_mean_nothing() {
        let mut headers = HeaderMap::new();
        for name in ["x-user-id", "x-role", "x-internal", "x-forwarded-user"] {
            headers.append(name, "0190f5a2-7c1e-7b7a-8f00-000000000001".parse().unwrap());
        }
        assert_eq!(context_header(&headers).unwrap(), ContextHeader::None);
    }
}
