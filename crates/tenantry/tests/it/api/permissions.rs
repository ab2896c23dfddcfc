//! Every route, asked by everybody: a golden table that must be complete.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tenantry::http::router;
use uuid::Uuid;

use super::world::{Answer, App, send};

/// Whom a route answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Need {
    Open,
    SignedIn,
    SignedInOrService,
    ServiceKey,
    /// A permission in the tenant of the headers.
    Header(&'static str),
    /// A permission in the tenant of the path.
    Path(&'static str),
    /// Any member of the tenant of the path.
    MemberOfPath,
    /// An owner of the tenant of the path, for what only owners do.
    OwnerOfPath(&'static str),
    /// The owner or a member of the team of the path.
    Team,
    /// The owner of the team of the path.
    TeamOwner,
}

/// Method, path, body, and whom it answers. Bodies may be refused for what is in them; they get past permissions.
const ROUTES: &[(&str, &str, &str, Need)] = &[
    ("GET", "/healthz", "", Need::Open),
    ("GET", "/readyz", "", Need::Open),
    ("GET", "/api/me", "", Need::SignedIn),
    ("GET", "/api/tenants", "", Need::SignedIn),
    ("POST", "/api/tenants", r#"{"name": "Made"}"#, Need::SignedInOrService),
    ("DELETE", "/api/users/me", "", Need::SignedIn),
    ("DELETE", "/api/users/{nobody}", "", Need::ServiceKey),
    ("PUT", "/api/users/{id}", r#"{"email": "no address"}"#, Need::ServiceKey),
    ("GET", "/api/permissions/check?userId={id}&tenantId={id}&permission=viewUsage", "", Need::ServiceKey),
    ("GET", "/api/tenants/{id}", "", Need::MemberOfPath),
    ("PATCH", "/api/tenants/{id}", "{}", Need::Path("manageMembers")),
    ("DELETE", "/api/tenants/{id}", "", Need::OwnerOfPath("deleteTenant")),
    ("GET", "/api/tenants/{id}/export", "", Need::OwnerOfPath("exportTenant")),
    ("POST", "/api/tenants/{id}/leave", "", Need::MemberOfPath),
    ("POST", "/api/tenants/{id}/transfer-ownership", r#"{"userId": "{nobody}"}"#, Need::OwnerOfPath("transferTenant")),
    ("GET", "/api/tenants/{id}/members", "", Need::MemberOfPath),
    ("POST", "/api/tenants/{id}/members", r#"{"userId": "{nobody}", "role": "member"}"#, Need::Path("manageMembers")),
    ("PATCH", "/api/tenants/{id}/members/{nobody}", r#"{"role": "member"}"#, Need::Path("manageMembers")),
    ("DELETE", "/api/tenants/{id}/members/{nobody}", "", Need::Path("manageMembers")),
    ("GET", "/api/tenants/{id}/invitations", "", Need::Path("manageMembers")),
    (
        "POST",
        "/api/tenants/{id}/invitations",
        r#"{"email": "no address", "role": "member"}"#,
        Need::Path("manageMembers"),
    ),
    ("DELETE", "/api/tenants/{id}/invitations/{nobody}", "", Need::Path("manageMembers")),
    ("POST", "/api/tenants/{id}/invitations/{nobody}/resend", "", Need::Path("manageMembers")),
    ("POST", "/api/invitations/accept", r#"{"token": "no token"}"#, Need::SignedIn),
    ("GET", "/api/teams", "", Need::SignedIn),
    ("POST", "/api/teams", r#"{"name": ""}"#, Need::SignedIn),
    ("GET", "/api/teams/{team}", "", Need::Team),
    ("PATCH", "/api/teams/{team}", "{}", Need::TeamOwner),
    ("DELETE", "/api/teams/{team}", "", Need::TeamOwner),
    ("GET", "/api/teams/{team}/members", "", Need::Team),
    ("POST", "/api/teams/{team}/members", r#"{"userId": "{nobody}"}"#, Need::TeamOwner),
    ("DELETE", "/api/teams/{team}/members/{nobody}", "", Need::TeamOwner),
    ("POST", "/api/teams/{team}/leave", "", Need::Team),
    ("GET", "/api/keys", "", Need::Header("manageBilling")),
    ("POST", "/api/keys", r#"{"name": "", "scopes": []}"#, Need::Header("manageBilling")),
    ("DELETE", "/api/keys/{nobody}", "", Need::Header("manageBilling")),
    ("POST", "/api/keys/{nobody}/rotate", "{}", Need::Header("manageBilling")),
    ("GET", "/api/billing/plans", "", Need::Header("viewBilling")),
    ("GET", "/api/billing/subscription", "", Need::Header("viewBilling")),
    ("GET", "/api/billing/invoices", "", Need::Header("viewBilling")),
    ("GET", "/api/billing/events", "", Need::Header("viewBilling")),
    ("GET", "/api/billing/charges", "", Need::Header("viewBilling")),
    ("GET", "/api/billing/charges/{nobody}/explain", "", Need::Header("viewBilling")),
    ("GET", "/api/billing/spend", "", Need::Header("viewBilling")),
    ("PUT", "/api/billing/spend/cap", r#"{"amountCents": -1}"#, Need::Header("manageBilling")),
    ("DELETE", "/api/billing/spend/cap?metric={nobody}", "", Need::Header("manageBilling")),
    ("POST", "/api/billing/spend/alerts", r#"{"amountCents": 0}"#, Need::Header("manageBilling")),
    ("DELETE", "/api/billing/spend/alerts/{nobody}", "", Need::Header("manageBilling")),
    ("GET", "/api/security/events", "", Need::Header("manageMembers")),
    ("POST", "/api/billing/checkout", r#"{"planId": "no such plan"}"#, Need::Header("manageBilling")),
    ("POST", "/api/billing/preview", r#"{"newPlanId": "no such plan"}"#, Need::Header("manageBilling")),
    ("POST", "/api/billing/upgrade", r#"{"newPlanId": "no such plan"}"#, Need::Header("manageBilling")),
    ("POST", "/api/billing/downgrade", r#"{"newPlanId": "no such plan"}"#, Need::Header("manageBilling")),
    ("POST", "/api/billing/cancel", "", Need::Header("manageBilling")),
    ("POST", "/api/billing/resume", "", Need::Header("manageBilling")),
    ("POST", "/api/billing/portal", "", Need::Header("manageBilling")),
    ("GET", "/api/billing/operations/{nobody}", "", Need::Header("manageBilling")),
    ("POST", "/api/webhooks/stripe", "{}", Need::Open),
    ("GET", "/api/usage?metric=calls", "", Need::Header("viewUsage")),
    ("GET", "/api/usage/check?metric=calls&amount=1", "", Need::Header("viewUsage")),
    ("GET", "/api/usage/report", "", Need::Header("viewUsage")),
    ("POST", "/api/usage", r#"{"metric": "calls", "amount": 1, "idempotencyKey": "k"}"#, Need::Header("recordUsage")),
    (
        "POST",
        "/api/usage/preview",
        r#"{"events": [{"metric": "calls", "amount": 1, "idempotencyKey": "k"}]}"#,
        Need::Header("viewBilling"),
    ),
    ("GET", "/api/usage/holds", "", Need::Header("recordUsage")),
    ("POST", "/api/usage/holds", r#"{"metric": "calls", "amount": 1}"#, Need::Header("recordUsage")),
    ("GET", "/api/usage/holds/{nobody}", "", Need::Header("recordUsage")),
    ("POST", "/api/usage/holds/{nobody}/commit", r#"{"amount": 1}"#, Need::Header("recordUsage")),
    ("POST", "/api/usage/holds/{nobody}/release", "", Need::Header("recordUsage")),
    ("GET", "/api/notifications", "", Need::Header("viewBilling")),
    ("GET", "/api/webhook-endpoints", "", Need::Header("viewBilling")),
    ("POST", "/api/webhook-endpoints", r#"{"url": "nowhere"}"#, Need::Header("manageBilling")),
    ("GET", "/api/webhook-endpoints/{nobody}", "", Need::Header("viewBilling")),
    ("PATCH", "/api/webhook-endpoints/{nobody}", r#"{"enabled": true}"#, Need::Header("manageBilling")),
    ("DELETE", "/api/webhook-endpoints/{nobody}", "", Need::Header("manageBilling")),
    ("POST", "/api/webhook-endpoints/{nobody}/rotate-secret", "", Need::Header("manageBilling")),
    ("POST", "/api/webhook-endpoints/{nobody}/test", "", Need::Header("manageBilling")),
    ("GET", "/api/webhook-endpoints/{nobody}/deliveries", "", Need::Header("viewBilling")),
    ("POST", "/api/webhook-endpoints/{nobody}/deliveries/{nobody}/replay", "", Need::Header("manageBilling")),
];

const ALL: &[&str] = &["manageBilling", "viewBilling", "manageMembers", "viewUsage", "recordUsage"];

/// What each role may do, as the design's table says.
fn permissions(role: &str) -> &'static [&'static str] {
    match role {
        "owner" | "admin" => ALL,
        "billing_admin" => &["manageBilling", "viewBilling", "viewUsage", "recordUsage"],
        "member" => &["viewBilling", "viewUsage", "recordUsage"],
        "key" => &["recordUsage"],
        _ => &[],
    }
}

/// Whether a caller is refused, and how: the status.
#[expect(clippy::match_same_arms, reason = "one line for each rule")]
fn refusal(role: &str, need: Need) -> Option<u16> {
    let is_member = ["owner", "admin", "billing_admin", "member"].contains(&role);
    match (role, need) {
        (_, Need::Open) => None,
        ("nobody", _) => Some(401),
        ("owner", Need::Team | Need::TeamOwner) | ("teammate", Need::Team) => None,
        // Teams are users'; a key of a tenant that does not own it learns nothing of it.
        ("teammate", Need::TeamOwner) | ("service", Need::Team | Need::TeamOwner) => Some(403),
        (_, Need::Team | Need::TeamOwner) => Some(404),
        ("service", Need::SignedIn) | ("key", Need::SignedIn | Need::SignedInOrService) => Some(403),
        ("service", _) | (_, Need::SignedIn | Need::SignedInOrService) => None,
        (_, Need::ServiceKey) => Some(403),
        ("stranger" | "teammate", Need::Header(_)) => Some(403),
        ("stranger" | "teammate", _) => Some(404),
        (_, Need::Header(permission) | Need::Path(permission)) => {
            (!permissions(role).contains(&permission)).then_some(403)
        }
        ("key", Need::MemberOfPath) => None,
        (_, Need::MemberOfPath) => (!is_member).then_some(404),
        (_, Need::OwnerOfPath(_)) => (role != "owner").then_some(403),
    }
}

#[test]
fn the_table_names_every_route_of_the_document() {
    let document = serde_json::to_value(router::document()).unwrap();
    let documented: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, operations)| {
            let path = path.split('{').map(|part| part.split_once('}').map_or(part, |rest| rest.1)).collect::<Vec<_>>();
            let path = path.join("*");
            operations.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let here: BTreeSet<(String, String)> = ROUTES
        .iter()
        .map(|(method, path, _, _)| {
            let path =
                path.split('?').next().unwrap().replace("{id}", "*").replace("{team}", "*").replace("{nobody}", "*");
            ((*method).to_owned(), path)
        })
        .collect();
    assert_eq!(here, documented);
}

#[tokio::test]
async fn everybody_gets_what_the_table_says() {
    let app = App::new().await;
    let (owner_id, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let mut callers = vec![("owner", owner.clone())];
    let mut ids = BTreeMap::from([("owner", owner_id)]);
    for role in ["admin", "billing_admin", "member"] {
        let (id, token) = app.member(&owner, acme, role).await;
        ids.insert(role, id);
        callers.push((role, token));
    }
    let (stranger, token) = app.user().await;
    ids.insert("stranger", stranger);
    callers.push(("stranger", token));
    let team = app.team(&owner).await;
    let (teammate, token) = app.teammate(&owner, team).await;
    ids.insert("teammate", teammate);
    callers.push(("teammate", token));
    callers.push(("key", app.key(&owner, acme, &["recordUsage"]).await.1));
    callers.push(("service", app.service_key().await));
    callers.push(("nobody", String::new()));
    let nobody = app.id().to_string();
    let mut refusals = 0;
    let mut matrix: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (method, path, body, need) in ROUTES {
        // Those that would end the world's organization or its members' membership are asked by who is refused.
        let ends = path.ends_with("/leave")
            || (*method == "DELETE" && ["/api/tenants/{id}", "/api/teams/{team}", "/api/users/me"].contains(path));
        let row = matrix.entry(format!("{} {method}", path.split('?').next().unwrap())).or_default();
        for (role, token) in &callers {
            let expected = refusal(role, *need);
            if ends && expected.is_none() {
                row.push("not asked".to_owned());
                continue;
            }
            let path = path.replace("{id}", &acme.to_string()).replace("{team}", &team.to_string());
            let path = path.replace("{nobody}", &nobody);
            let mut request = app.request(method, &path);
            if !token.is_empty() {
                request = request.bearer_auth(token);
            }
            if matches!(need, Need::Header(_)) && *role != "key" {
                request = request.header("x-organization-id", acme.to_string());
            }
            if !body.is_empty() {
                let body: Value = serde_json::from_str(&body.replace("{nobody}", &nobody)).unwrap();
                request = request.json(&body);
            }
            let answer = send(request).await;
            let place = format!("{method} {path} as {role}: {answer:?}");
            row.push(if expected.is_some() { answer.status.to_string() } else { "yes".to_owned() });
            if let Some(status) = expected {
                assert_eq!(answer.status, status, "{place}");
                if status == 403 {
                    let foreign = ["stranger", "teammate"].contains(role) && matches!(need, Need::Header(_));
                    let code = if foreign { "forbidden_tenant" } else { "insufficient_permissions" };
                    assert_eq!(answer.code(), code, "{place}");
                }
                let own = *ids.get(role).unwrap_or(&acme);
                let home = if ["stranger", "teammate"].contains(role) { own } else { acme };
                assert_eq!(written(&app, &answer).await, event(role, *need, status, (home, own)), "{place}");
                refusals += 1;
            } else {
                let named_nobody = path.contains(&nobody) && answer.status == 404;
                assert!(named_nobody || ![401, 403, 404].contains(&answer.status), "{place}");
                assert!(answer.status < 500, "{place}");
            }
        }
    }
    assert!(refusals > 80, "only {refusals} refusals");
    let roles: Vec<&str> = callers.iter().map(|(role, _)| *role).collect();
    insta::assert_snapshot!("who_is_answered", as_table(&roles, &matrix));
}

/// A row for each operation, a column for each role: answered, or refused with a status.
fn as_table(roles: &[&str], matrix: &BTreeMap<String, Vec<String>>) -> String {
    let line = |name: &str, cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:<14}")).collect();
        let cells = cells.concat();
        format!("{name:<80}{cells}").trim_end().to_owned()
    };
    let head: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    let rows = matrix.iter().map(|(name, cells)| line(name, cells));
    std::iter::once(line("", &head)).chain(rows).collect::<Vec<_>>().join("\n")
}

/// The security event that a refusal leaves, although nothing else of its request stayed: type, permission, tenant.
type Event = (String, Option<String>, Uuid);

/// Events of a request, by its id.
async fn written(app: &App, answer: &Answer) -> Vec<Event> {
    let sql = "select type, needed_permission, tenant_id from tenantry.security_events where request_id = $1";
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let rows = app.admin.query(sql, &[&id]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// What is due. `home` is where the actor's attempts at the world's organization are written, `own` where those that
/// name no tenant are.
fn event(role: &str, need: Need, status: u16, (home, own): (Uuid, Uuid)) -> Vec<Event> {
    // Nobody has a log, and a service key belongs to no tenant: those are in the server's log.
    if status == 401 || role == "service" {
        return Vec::new();
    }
    let (kind, needed, tenant) = match need {
        Need::Header(_) if ["stranger", "teammate"].contains(&role) => ("forbidden_tenant", None, home),
        Need::Team | Need::TeamOwner if status == 404 => ("unknown_team", None, own),
        _ if status == 404 => ("unknown_tenant", None, home),
        Need::Header(permission) | Need::Path(permission) => ("insufficient_permissions", Some(permission), home),
        Need::OwnerOfPath(needed) => ("insufficient_permissions", Some(needed), home),
        Need::TeamOwner => ("insufficient_permissions", Some("manageTeam"), own),
        Need::ServiceKey => ("insufficient_permissions", Some("serviceKey"), own),
        Need::SignedIn => ("insufficient_permissions", Some("user"), own),
        Need::SignedInOrService => ("insufficient_permissions", Some("createTenant"), own),
        Need::Open | Need::MemberOfPath | Need::Team => panic!("{role} is refused by {need:?}"),
    };
    vec![(kind.to_owned(), needed.map(str::to_owned), tenant)]
}

#[tokio::test]
async fn overrides_change_what_a_member_may_do_from_the_next_request_on() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let (member_id, member) = app.member(&owner, acme, "member").await;
    let report = async || app.within(&member, acme, "GET", "/api/usage/report", &Value::Null).await.status;
    assert_eq!(report().await, 200);
    let path = format!("/api/tenants/{acme}/members/{member_id}");
    for (overrides, status) in [(json!({ "viewUsage": false }), 403), (json!({}), 200)] {
        let changed = app.call(&owner, "PATCH", &path, &json!({ "permissions": overrides })).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        assert_eq!(report().await, status);
    }
    assert_eq!(app.call(&owner, "DELETE", &path, &Value::Null).await.status, 204);
    assert_eq!(report().await, 403);
}
