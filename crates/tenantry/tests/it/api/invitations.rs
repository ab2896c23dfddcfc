//! Invitations over HTTP: attacks 22 and 23, and what the routes answer.

use std::collections::BTreeSet;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tenantry::billing::catalog_store;
use tenantry::tenancy::invitations::token::MintedToken;
use tenantry_domain::plan::{Catalog, Plan};
use uuid::Uuid;

use super::world::{AUDIENCE, Answer, App, ISSUER, SECRET, send};
use crate::metering::world::catalog;

/// A token of a user whose issuer says this of the address.
fn bearer(app: &App, user: Uuid, email: &str, verified: Value) -> String {
    let now = app.env.clock.now().as_second();
    let mut claims = json!({ "sub": user, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 600 });
    claims["email"] = json!(email);
    if !verified.is_null() {
        claims["email_verified"] = verified;
    }
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A user whose address is verified, who was never seen before.
pub(super) fn verified(app: &App, email: &str) -> (Uuid, String) {
    let id = app.id();
    (id, bearer(app, id, email, json!(true)))
}

struct Org {
    app: App,
    owner: String,
    tenant: Uuid,
}

impl Org {
    async fn new() -> Self {
        let app = App::new().await;
        let (_, owner) = app.user().await;
        let tenant = app.organization(&owner).await;
        Self { app, owner, tenant }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/tenants/{}/invitations{rest}", self.tenant)
    }

    async fn invite_as(&self, by: &str, email: &str, role: &str) -> Answer {
        self.app.call(by, "POST", &self.path(""), &json!({ "email": email, "role": role })).await
    }

    /// Id and token of an invitation.
    async fn invite(&self, email: &str) -> (String, String) {
        let made = self.invite_as(&self.owner, email, "member").await;
        assert_eq!(made.status, 201, "{made:?}");
        of(&made)
    }

    async fn accept(&self, bearer: &str, token: &str) -> Answer {
        self.app.call(bearer, "POST", "/api/invitations/accept", &json!({ "token": token })).await
    }

    /// What a user is in the organization.
    async fn role_of(&self, user: Uuid) -> Option<String> {
        let sql = "select role from tenantry.tenant_members where tenant_id = $1 and user_id = $2";
        self.app.admin.query_opt(sql, &[&self.tenant, &user]).await.unwrap().map(|row| row.get(0))
    }

    /// Security events of a request: whose log, and of which type.
    async fn events(&self, answer: &Answer) -> Vec<(Uuid, String)> {
        let sql = "select tenant_id, type from tenantry.security_events where request_id = $1";
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let rows = self.app.admin.query(sql, &[&id]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Accepts what must be refused: code, an event in the log of who tried, and no membership.
    async fn refused(&self, (user, bearer): &(Uuid, String), token: &str, due: (u16, &str)) -> Value {
        let answer = self.accept(bearer, token).await;
        assert_eq!((answer.status, answer.code()), due, "{answer:?}");
        assert_eq!(self.events(&answer).await, [(*user, due.1.to_owned())]);
        assert_eq!(self.role_of(*user).await, None);
        answer.lasting()
    }
}

fn of(answer: &Answer) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned();
    (text(&answer.body["invitation"]["id"]), text(&answer.body["token"]))
}

const INVALID: (u16, &str) = (410, "invitation_invalid");

#[tokio::test]
async fn attack_22_another_address_and_one_that_nobody_verified() {
    let org = Org::new().await;
    let (_, token) = org.invite("bea@example.com").await;
    let other = verified(&org.app, "cleo@example.com");
    let told = org.refused(&other, &token, (403, "invitation_of_another")).await;
    assert!(!told.to_string().contains("bea"), "the address is told: {told}");
    // The Kelvin sign is a K to Unicode, and another mailbox.
    let (_, kelvins) = org.invite("\u{212a}im@example.com").await;
    org.refused(&verified(&org.app, "kim@example.com"), &kelvins, (403, "invitation_of_another")).await;
    let (_, dead) = org.invite("dead@example.com").await;
    org.invite("dead@example.com").await;
    let bea = org.app.id();
    for verified in [json!(false), Value::Null, json!("false"), json!(1), json!("yes"), json!(["true"])] {
        let unverified = (bea, bearer(&org.app, bea, "bea@example.com", verified));
        let told = org.refused(&unverified, &token, (403, "email_not_verified")).await;
        // The same whatever the token is, so that it tells nothing of it.
        assert_eq!(told, org.accept(&unverified.1, &dead).await.lasting());
    }
    // No address at all, and a key, which is nobody's.
    let none = (bea, org.app.token(bea));
    org.refused(&none, &token, (403, "email_not_verified")).await;
    let (_, key) = org.app.key(&org.owner, org.tenant, &["manageMembers", "viewUsage"]).await;
    let by_key = org.accept(&key, &token).await;
    assert_eq!((by_key.status, by_key.code()), (403, "insufficient_permissions"));
    // Verified, in whatever letters, it is accepted; some issuers write the claim as a text.
    let good = bearer(&org.app, bea, "BEA@Example.com", json!("true"));
    let accepted = org.accept(&good, &token).await;
    assert_eq!((accepted.status, &accepted.body["member"]["role"]), (200, &json!("member")), "{accepted:?}");
    assert_eq!(accepted.body["tenant"]["id"], json!(org.tenant));
    // Seen for the first time, the user has a personal tenant too.
    assert_eq!(org.app.get(&good, "/api/me").await.body["tenants"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn attack_22_tokens_that_are_good_for_nothing_are_not_told_apart() {
    let org = Org::new().await;
    let bea = verified(&org.app, "bea@example.com");
    let (id, first) = org.invite("bea@example.com").await;
    let resent = org.app.call(&org.owner, "POST", &org.path(&format!("/{id}/resend")), &json!({})).await;
    assert_eq!(resent.status, 200, "{resent:?}");
    let (_, second) = of(&resent);
    let mut answers = BTreeSet::new();
    // Each as soon as it is dead, while the next one lives.
    answers.insert(org.refused(&bea, &first, INVALID).await.to_string());
    let (third_id, third) = org.invite("bea@example.com").await;
    answers.insert(org.refused(&bea, &second, INVALID).await.to_string());
    let path = org.path(&format!("/{third_id}"));
    assert_eq!(org.app.call(&org.owner, "DELETE", &path, &Value::Null).await.status, 204);
    answers.insert(org.refused(&bea, &third, INVALID).await.to_string());
    let (_, expired) = org.invite("bea@example.com").await;
    let sql = "update tenantry.invitations set expires_at = created_at where state = 'pending'";
    assert_eq!(org.app.admin.execute(sql, &[]).await.unwrap(), 1);
    let typo = format!("{}A", &first[..first.len() - 1]);
    let unknown = MintedToken::new(&org.app.env, org.tenant);
    let nowhere = MintedToken::new(&org.app.env, org.app.id());
    for token in [&expired, &typo, "", "ti_", unknown.expose(), nowhere.expose()] {
        answers.insert(org.refused(&bea, token, INVALID).await.to_string());
    }
    // Somebody else's that was used.
    let (_, used) = org.invite("cleo@example.com").await;
    let cleo = verified(&org.app, "cleo@example.com");
    assert_eq!(org.accept(&cleo.1, &used).await.status, 200);
    answers.insert(org.refused(&bea, &used, INVALID).await.to_string());
    assert_eq!(answers.len(), 1, "{answers:?}");
    // Whose own it was is told that there is nothing left to do.
    let again = org.accept(&cleo.1, &used).await;
    assert_eq!((again.status, again.code()), (409, "already_member"));
}

#[tokio::test]
async fn attack_22_an_inviter_who_is_no_longer_admin_or_gone() {
    let org = Org::new().await;
    let (admin_id, admin) = org.app.member(&org.owner, org.tenant, "admin").await;
    let made = org.invite_as(&admin, "bea@example.com", "billing_admin").await;
    let (id, token) = of(&made);
    let bea = verified(&org.app, "bea@example.com");
    let member = format!("/api/tenants/{}/members/{admin_id}", org.tenant);
    let demoted = org.app.call(&org.owner, "PATCH", &member, &json!({ "role": "billing_admin" })).await;
    assert_eq!(demoted.status, 200);
    org.refused(&bea, &token, INVALID).await;
    assert_eq!(org.app.call(&org.owner, "DELETE", &member, &Value::Null).await.status, 204);
    org.refused(&bea, &token, INVALID).await;
    // Nor does the one who is gone bring it back.
    let path = org.path(&format!("/{id}/resend"));
    assert_eq!(org.app.call(&admin, "POST", &path, &json!({})).await.status, 404);
    let resent = org.app.call(&org.owner, "POST", &path, &json!({})).await;
    assert_eq!(org.accept(&bea.1, &of(&resent).1).await.status, 200);
    assert_eq!(org.role_of(bea.0).await.as_deref(), Some("billing_admin"));
}

#[tokio::test]
async fn attack_22_a_role_in_the_request_is_an_unknown_field() {
    let org = Org::new().await;
    let (_, token) = org.invite("bea@example.com").await;
    let (bea, bearer) = verified(&org.app, "bea@example.com");
    for field in ["role", "permissions", "tenantId", "userId", "email"] {
        let mut body = json!({ "token": token });
        body[field] = json!("owner");
        let answer = org.app.call(&bearer, "POST", "/api/invitations/accept", &body).await;
        assert_eq!((answer.status, answer.code()), (422, "validation_failed"), "{answer:?}");
        assert_eq!(answer.body["errors"][0]["field"], field);
        assert!(!answer.body.to_string().contains(&token), "{answer:?}");
    }
    assert_eq!(org.role_of(bea).await, None);
    // Nor does whoever is a member become more by an invitation.
    assert_eq!(org.accept(&bearer, &token).await.status, 200);
    let (_, admins) = of(&org.invite_as(&org.owner, "bea@example.com", "admin").await);
    let again = org.accept(&bearer, &admins).await;
    assert_eq!((again.status, again.code()), (409, "already_member"));
    assert_eq!(org.role_of(bea).await.as_deref(), Some("member"));
}

#[tokio::test]
async fn attack_22_one_token_used_by_twenty_at_once() {
    let org = Org::new().await;
    let (_, token) = org.invite("bea@example.com").await;
    let users: Vec<(Uuid, String)> = (0..20).map(|_| verified(&org.app, "bea@example.com")).collect();
    let answers = futures::future::join_all(users.iter().map(|(_, bearer)| org.accept(bearer, &token))).await;
    let outcomes: Vec<(u16, &str)> = answers.iter().map(|answer| (answer.status, answer.code())).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.0 == 200).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == INVALID).count(), 19, "{outcomes:?}");
    let sql = format!("select count(*) from tenantry.tenant_members where tenant_id = '{}'", org.tenant);
    assert_eq!(org.app.count(&sql).await, 2);
}

#[tokio::test]
async fn attack_23_an_admin_invites_an_owner() {
    let org = Org::new().await;
    let (_, admin) = org.app.member(&org.owner, org.tenant, "admin").await;
    let (_, narrow) = org.app.member(&org.owner, org.tenant, "member").await;
    let (narrow_id, members) = (org.app.get(&narrow, "/api/me").await.body["id"].clone(), org.path(""));
    let path = format!("/api/tenants/{}/members/{}", org.tenant, narrow_id.as_str().unwrap());
    let may_invite = json!({ "permissions": { "manageMembers": true } });
    assert_eq!(org.app.call(&org.owner, "PATCH", &path, &may_invite).await.status, 200);
    let by_admin = org.invite_as(&admin, "bea@example.com", "owner").await;
    assert_eq!((by_admin.status, by_admin.code()), (403, "insufficient_permissions"), "{by_admin:?}");
    assert_eq!(org.events(&by_admin).await, [(org.tenant, "grant_refused".to_owned())]);
    let by_owner = org.invite_as(&org.owner, "bea@example.com", "owner").await;
    assert_eq!((by_owner.status, &by_owner.body["errors"][0]["field"]), (422, &json!("role")), "{by_owner:?}");
    // Nobody invites above themselves, by a role or by an override.
    for body in [
        json!({ "email": "bea@example.com", "role": "admin" }),
        json!({ "email": "bea@example.com", "role": "member", "permissions": { "manageBilling": true } }),
    ] {
        let above = org.app.call(&narrow, "POST", &members, &body).await;
        assert_eq!((above.status, above.code()), (403, "insufficient_permissions"), "{above:?}");
    }
    assert_eq!(org.invite_as(&narrow, "bea@example.com", "member").await.status, 201);
    let mut last = json!({ "email": "bea@example.com", "role": "god" });
    assert_eq!(org.app.call(&org.owner, "POST", &members, &last).await.body["errors"][0]["field"], "role");
    last = json!({ "email": "no address", "role": "member" });
    assert_eq!(org.app.call(&org.owner, "POST", &members, &last).await.body["errors"][0]["field"], "email");
    assert_eq!(org.app.count("select count(*) from tenantry.invitations").await, 1);
}

#[tokio::test]
async fn attack_23_fifty_accept_for_the_last_seat() {
    let org = Org::new().await;
    let places = |plan: &Plan| Plan { max_members: Some(2), ..plan.clone() };
    let plans = catalog().plans().iter().map(places).collect();
    catalog_store::load(&org.app.db, &org.app.env, &Catalog::new(plans).unwrap()).await.unwrap();
    let tenant = org.app.organization(&org.owner).await;
    let org = Org { tenant, ..org };
    let mut invited = Vec::new();
    for number in 0..50 {
        let email = format!("u{number}@example.com");
        invited.push((verified(&org.app, &email).1, org.invite(&email).await.1));
    }
    let all = invited.iter().map(|(bearer, token)| org.accept(bearer, token));
    let answers = futures::future::join_all(all).await;
    let outcomes: Vec<(u16, &str)> = answers.iter().map(|answer| (answer.status, answer.code())).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.0 == 200).count(), 1, "{outcomes:?}");
    assert_eq!(
        outcomes.iter().filter(|outcome| **outcome == (402, "member_limit_reached")).count(),
        49,
        "{outcomes:?}"
    );
    let sql = format!("select count(*) from tenantry.tenant_members where tenant_id = '{tenant}'");
    assert_eq!(org.app.count(&sql).await, 2);
    // Who came too late keeps the invitation, and outsiders do not learn what plan it is.
    assert_eq!(org.app.count("select count(*) from tenantry.invitations where state = 'pending'").await, 49);
    let full = answers.iter().find(|answer| answer.status == 402).unwrap();
    assert!(full.body.get("planId").is_none() && full.body.get("maxMembers").is_none(), "{full:?}");
    // Adding by id is refused as well, with the figures.
    let (user, _) = org.app.user().await;
    let path = format!("/api/tenants/{tenant}/members");
    let added = org.app.call(&org.owner, "POST", &path, &json!({ "userId": user, "role": "member" })).await;
    assert_eq!((added.status, added.code(), &added.body["maxMembers"]), (402, "member_limit_reached", &json!(2)));
}

#[tokio::test]
async fn an_issuer_that_verifies_all_addresses_need_not_say_so() {
    let org = Org::new().await;
    let trusting = org.app.serve_again(|settings| settings.issuer_verifies_emails = true).await;
    let (_, token) = org.invite("bea@example.com").await;
    let bea = org.app.id();
    let silent = bearer(&org.app, bea, "bea@example.com", Value::Null);
    org.refused(&(bea, silent.clone()), &token, (403, "email_not_verified")).await;
    let request = org.app.request_to(&trusting, "POST", "/api/invitations/accept").bearer_auth(&silent);
    assert_eq!(send(request.json(&json!({ "token": token }))).await.status, 200);
}

#[tokio::test]
async fn repeated_requests_show_no_token_and_accept_once() {
    let org = Org::new().await;
    let post = async |bearer: &str, path: &str, key: &str, body: Value| {
        let request = org.app.request("POST", path).bearer_auth(bearer).header("idempotency-key", key);
        send(request.json(&body)).await
    };
    let body = json!({ "email": "bea@example.com", "role": "member" });
    let first = post(&org.owner, &org.path(""), "k", body.clone()).await;
    let again = post(&org.owner, &org.path(""), "k", body).await;
    assert_eq!((first.status, again.status), (201, 201), "{again:?}");
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(first.body["invitation"], again.body["invitation"]);
    assert_eq!((again.body.get("token"), &again.body["secretShown"]), (None, &json!(true)));
    let (id, _) = of(&first);
    let path = org.path(&format!("/{id}/resend"));
    let first = post(&org.owner, &path, "k", json!({})).await;
    let again = post(&org.owner, &path, "k", json!({})).await;
    assert_eq!((first.status, again.status), (200, 200), "{again:?}");
    assert_eq!((again.body.get("token"), &again.body["secretShown"]), (None, &json!(true)));
    let (_, token) = of(&first);
    let kept = "select count(*) from tenantry.idempotency_keys where response::text like '%ti\\_%'";
    assert_eq!(org.app.count(kept).await, 0);
    // The newest token works although the request for it came twice; accepting twice with one key is once.
    let (bea, bearer) = verified(&org.app, "bea@example.com");
    let accept = async || post(&bearer, "/api/invitations/accept", "k", json!({ "token": token })).await;
    let (first, again) = (accept().await, accept().await);
    assert_eq!((first.status, again.status), (200, 200), "{again:?}");
    assert_eq!(first.body, again.body);
    assert_eq!(org.role_of(bea).await.as_deref(), Some("member"));
    let deeds = "select count(*) from tenantry.billing_events where type ~ '^invitation'";
    assert_eq!(org.app.count(deeds).await, 3);
}

#[tokio::test]
async fn invitations_are_listed_by_state_and_page_without_tokens() {
    let org = Org::new().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(org.invite(&format!("u{number}@example.com")).await.0);
    }
    let path = org.path(&format!("/{}", ids[0]));
    assert_eq!(org.app.call(&org.owner, "DELETE", &path, &Value::Null).await.status, 204);
    let listed = async |query: &str| {
        let answer = org.app.get(&org.owner, &org.path(query)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.body.to_string().contains("ti_"), "{answer:?}");
        let of = |row: &Value| row["id"].as_str().unwrap().to_owned();
        (answer.body["data"].as_array().unwrap().iter().map(of).collect::<Vec<_>>(), answer.body["nextCursor"].clone())
    };
    ids.reverse();
    assert_eq!(listed("").await.0, ids);
    assert_eq!(listed("?state=pending").await.0, ids[..4]);
    assert_eq!(listed("?state=revoked").await.0, ids[4..]);
    assert!(listed("?state=expired").await.0.is_empty() && listed("?state=accepted").await.0.is_empty());
    let (first, cursor) = listed("?state=pending&limit=3").await;
    assert_eq!(first, ids[..3]);
    let (rest, end) = listed(&format!("?state=pending&limit=3&cursor={}", cursor.as_str().unwrap())).await;
    assert_eq!((rest.as_slice(), end), (&ids[3..4], Value::Null));
    for (query, field) in [("?state=open", "state"), ("?limit=0", "limit"), ("?cursor=x", "cursor"), ("?x=1", "x")] {
        let answer = org.app.get(&org.owner, &org.path(query)).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (422, &json!(field)), "{answer:?}");
    }
}
