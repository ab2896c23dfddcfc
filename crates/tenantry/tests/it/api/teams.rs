//! Teams over HTTP: who manages them, what is used in their name, and when that ends.

use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{Answer, App, send};

/// An owner on the paid plan, a team of the owner's, and a member of it.
struct Shared {
    app: App,
    owner: (Uuid, String),
    member: (Uuid, String),
    team: Uuid,
}

impl Shared {
    async fn new() -> Self {
        let app = App::new().await;
        let owner = app.user().await;
        app.put_on_plan(owner.0, "pro").await;
        let team = app.team(&owner.1).await;
        let member = app.teammate(&owner.1, team).await;
        Self { app, owner, member, team }
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.app.in_team(&self.member.1, self.team, method, path, body).await
    }

    /// What the member gets of everything that a team may ask for: statuses and codes.
    async fn uses(&self, key: &str) -> Vec<(u16, String)> {
        let event = json!({ "metric": "calls", "amount": 1, "idempotencyKey": key });
        let batch = json!({ "events": [{ "metric": "calls", "amount": 1, "idempotencyKey": format!("{key} too") }] });
        let mut found = Vec::new();
        for (method, path, body) in [
            ("POST", "/api/usage", &event),
            ("POST", "/api/usage", &batch),
            ("GET", "/api/usage?metric=calls", &Value::Null),
            ("GET", "/api/usage/check?metric=calls", &Value::Null),
            ("GET", "/api/usage/report", &Value::Null),
            ("GET", "/api/billing/subscription", &Value::Null),
        ] {
            let answer = self.ask(method, path, body).await;
            found.push((answer.status, answer.code().to_owned()));
        }
        found
    }

    fn members(&self) -> String {
        format!("/api/teams/{}/members", self.team)
    }
}

fn all(status: u16, code: &str) -> Vec<(u16, String)> {
    vec![(status, code.to_owned()); 6]
}

fn works() -> Vec<(u16, String)> {
    [201, 200, 200, 200, 200, 200].map(|status| (status, String::new())).to_vec()
}

#[tokio::test]
async fn a_team_is_made_seen_renamed_and_deleted() {
    let app = App::new().await;
    let ((owner_id, owner), (_, stranger)) = (app.user().await, app.user().await);
    let made = app.call(&owner, "POST", "/api/teams", &json!({ "name": "  Research " })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let team: Uuid = made.body["team"]["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(made.body["team"]["name"], "Research");
    assert_eq!((&made.body["team"]["ownerId"], &made.body["team"]["owned"]), (&json!(owner_id), &json!(true)));
    let path = format!("/api/teams/{team}");
    let (member_id, member) = app.teammate(&owner, team).await;
    for (token, owned) in [(&owner, true), (&member, false)] {
        let seen = app.get(token, &path).await;
        assert_eq!((seen.status, &seen.body["team"]["owned"]), (200, &json!(owned)));
        let listed = app.get(token, "/api/teams").await;
        assert_eq!(listed.body["data"], json!([seen.body["team"]]));
        assert_eq!(app.get(token, "/api/me").await.body["teams"], listed.body["data"]);
        let members = app.get(token, &format!("{path}/members")).await;
        assert_eq!(members.body["data"][0]["userId"], json!(member_id));
        assert_eq!(members.body["data"][0].as_object().unwrap().len(), 2, "only the id, and since when");
    }
    assert_eq!(
        app.get(&stranger, &path).await.lasting(),
        app.get(&stranger, &format!("/api/teams/{}", app.id())).await.lasting()
    );
    assert_eq!(app.get(&stranger, "/api/teams").await.body["data"], json!([]));
    let renamed = app.call(&owner, "PATCH", &path, &json!({ "name": "Field" })).await;
    assert_eq!((renamed.status, &renamed.body["team"]["name"]), (200, &json!("Field")));
    let refused = app.call(&member, "PATCH", &path, &json!({ "name": "Mine" })).await;
    assert_eq!((refused.status, &refused.body["requiredPermission"]), (403, &json!("manageTeam")));
    for name in ["", "  ", "a\nb", &"x".repeat(101)] {
        let refused = app.call(&owner, "PATCH", &path, &json!({ "name": name })).await;
        assert_eq!((refused.status, &refused.body["errors"][0]["field"]), (422, &json!("name")), "{name:?}");
    }
    assert_eq!(app.call(&owner, "DELETE", &path, &Value::Null).await.status, 204);
    for token in [&owner, &member] {
        assert_eq!(app.get(token, &path).await.status, 404);
        assert_eq!(app.get(token, "/api/me").await.body["teams"], json!([]));
    }
    assert_eq!(app.count("select count(*) from tenantry.team_members").await, 0);
    let sql = "select array_agg(type order by sequence) from tenantry.billing_events where tenant_id = $1";
    let deeds: Vec<String> = app.admin.query_one(sql, &[&owner_id]).await.unwrap().get(0);
    assert_eq!(deeds, ["tenant.created", "team.created", "team_member.added", "team.changed", "team.deleted"]);
}

#[tokio::test]
async fn lists_of_teams_go_on_where_the_page_before_ended() {
    let app = App::new().await;
    let (_, owner) = app.user().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(json!(app.team(&owner).await));
    }
    let team = made[0].as_str().unwrap().to_owned();
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(json!(app.teammate(&owner, team.parse().unwrap()).await.0));
    }
    for (path, field, due) in
        [("/api/teams".to_owned(), "id", made), (format!("/api/teams/{team}/members"), "userId", members)]
    {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app.get(&owner, &format!("{path}?limit=2{cursor}")).await;
            assert_eq!(page.status, 200, "{page:?}");
            found.extend(page.body["data"].as_array().unwrap().iter().map(|row| row[field].clone()));
            let Some(next) = page.body["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, due);
    }
}

#[tokio::test]
async fn who_can_be_put_into_a_team_and_how_many() {
    let shared = Shared::new().await;
    let (app, owner) = (&shared.app, &shared.owner.1);
    let add =
        async |token: &str, user: Uuid| app.call(token, "POST", &shared.members(), &json!({ "userId": user })).await;
    let acme = app.organization(owner).await;
    for nobody in [app.id(), acme] {
        let unknown = add(owner, nobody).await;
        assert_eq!((unknown.status, &unknown.body["errors"][0]["field"]), (422, &json!("userId")), "{unknown:?}");
    }
    for user in [shared.member.0, shared.owner.0] {
        assert_eq!(add(owner, user).await.code(), "already_member");
    }
    let (other, _) = app.user().await;
    assert_eq!(add(&shared.member.1, other).await.code(), "insufficient_permissions");
    // As many as there may be, put there past the route.
    let rows = "insert into tenantry.users select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, null, now(), now()
                from generate_series(1, 99) as n";
    app.admin.execute(rows, &[]).await.unwrap();
    let rows = "insert into tenantry.team_members
                select $1, $2, id, now() from tenantry.users where id::text like '00000000-0000-4000-8000-%'";
    app.admin.execute(rows, &[&shared.owner.0, &shared.team]).await.unwrap();
    let full = add(owner, other).await;
    assert_eq!((full.status, full.code(), &full.body["limit"]), (409, "team_limit_reached", &json!(100)));
    let rows = "insert into tenantry.teams (tenant_id, id, name, created_at, updated_at)
                select $1, gen_random_uuid(), 'x', now(), now() from generate_series(1, 49)";
    app.admin.execute(rows, &[&shared.owner.0]).await.unwrap();
    let full = app.call(owner, "POST", "/api/teams", &json!({ "name": "One more" })).await;
    assert_eq!((full.status, full.code(), &full.body["limit"]), (409, "team_limit_reached", &json!(50)));
}

#[tokio::test]
async fn attack_25_use_in_a_team_counts_for_the_owner_once_under_the_users_name() {
    let shared = Shared::new().await;
    let (app, owner_id, member_id) = (&shared.app, shared.owner.0, shared.member.0);
    let event = |key: &str| json!({ "metric": "calls", "amount": 7, "idempotencyKey": key });
    assert_eq!(app.call(&shared.owner.1, "POST", "/api/usage", &event("own")).await.status, 201);
    let (first, again) =
        (shared.ask("POST", "/api/usage", &event("k")).await, shared.ask("POST", "/api/usage", &event("k")).await);
    assert_eq!((first.status, &first.body["total"]), (201, &json!("14")), "{first:?}");
    assert_eq!((again.status, &again.body["status"]), (200, &json!("duplicate")));
    let metadata = "select metadata ->> 'userRole' from tenantry.tenant_usage where idempotency_key = 'k'";
    assert_eq!(app.admin.query_one(metadata, &[]).await.unwrap().get::<_, String>(0), "team_member");
    // The owner sees who used what; nothing counts for the member's own tenant.
    let report = app.get(&shared.owner.1, "/api/usage/report").await;
    let by_user = &report.body["usage"]["calls"]["byUser"];
    assert_eq!(by_user, &json!({ owner_id.to_string(): "7", member_id.to_string(): "7" }));
    assert_eq!(app.count("select count(distinct tenant_id) from tenantry.tenant_usage").await, 1);
    // The member sees its own use, and where the plan stands, and of neither what it costs.
    let seen = shared.ask("GET", "/api/usage/report", &Value::Null).await;
    assert_eq!(seen.body["usage"]["calls"]["byUser"], json!({ member_id.to_string(): "7" }));
    assert_eq!(seen.body["usage"]["calls"]["total"], "7");
    assert_eq!(seen.body["subscription"]["limits"]["calls"]["total"], "14");
    let total = shared.ask("GET", "/api/usage?metric=calls", &Value::Null).await;
    assert_eq!((&total.body["total"], &total.body["count"]), (&json!("7"), &json!(1)));
    let check = shared.ask("GET", "/api/usage/check?metric=calls&amount=287", &Value::Null).await;
    assert_eq!((&check.body["allowed"], &check.body["remaining"]), (&json!(false), &json!("286")));
    let subscription = shared.ask("GET", "/api/billing/subscription", &Value::Null).await;
    assert_eq!(subscription.body["subscription"]["planId"], "pro");
    assert_eq!(subscription.body["subscription"]["limits"]["calls"]["remaining"], "286");
    for body in [&seen.body, &subscription.body] {
        let text = body.to_string();
        assert!(!text.contains("Cents") && !text.contains("sub_") && !text.contains("cus_"), "{text}");
    }
    let owners = app.get(&shared.owner.1, "/api/billing/subscription").await;
    assert_eq!(owners.body["subscription"]["limits"]["calls"]["accruedOverageCents"], 0);
    // Nobody takes back what others used, and nobody uses in another's name.
    let correction = shared.ask("POST", "/api/usage", &json!({ "reverses": "own", "idempotencyKey": "r" })).await;
    assert_eq!((correction.status, correction.code()), (403, "insufficient_permissions"));
    let others = json!({ "metric": "calls", "amount": 1, "idempotencyKey": "o", "userId": owner_id });
    assert_eq!(shared.ask("POST", "/api/usage", &others).await.body["reason"], "user_not_allowed");
    // A plain user who names the owner's tenant gets nowhere.
    let named = app.within(&shared.member.1, owner_id, "POST", "/api/usage", &event("z")).await;
    assert_eq!((named.status, named.code()), (403, "forbidden_tenant"));
    assert_eq!(app.count("select count(*) from tenantry.tenant_usage").await, 2);
}

#[tokio::test]
async fn attack_25_access_ends_with_the_next_request() {
    let shared = Shared::new().await;
    let (app, owner, member) = (&shared.app, &shared.owner.1, &shared.member);
    let back = async || {
        let added = app.call(owner, "POST", &shared.members(), &json!({ "userId": member.0 })).await;
        assert_eq!(added.status, 201, "{added:?}");
    };
    let leave = format!("/api/teams/{}/leave", shared.team);
    let own = format!("{}/{}", shared.members(), member.0);
    let ways = [(&member.1, "POST", &leave), (&member.1, "DELETE", &own), (owner, "DELETE", &own)];
    for (n, (token, method, path)) in ways.into_iter().enumerate() {
        assert_eq!(shared.uses(&format!("before {n}")).await, works());
        let ended = app.call(token, method, path, &json!({})).await;
        assert_eq!(ended.status, 204, "{method} {path}: {ended:?}");
        assert_eq!(shared.uses(&format!("after {n}")).await, all(403, "forbidden_tenant"));
        assert_eq!(app.get(&member.1, &format!("/api/teams/{}", shared.team)).await.status, 404);
        back().await;
    }
    assert_eq!(shared.uses("last").await, works());
    let others = app.teammate(owner, shared.team).await;
    let removed = app.call(&member.1, "DELETE", &format!("{}/{}", shared.members(), others.0), &json!({})).await;
    assert_eq!((removed.status, removed.code()), (403, "insufficient_permissions"));
    let owners = app.call(owner, "POST", &leave, &json!({})).await;
    assert_eq!((owners.status, owners.code()), (409, "conflict"));
    let team = format!("/api/teams/{}", shared.team);
    assert_eq!(app.call(owner, "DELETE", &team, &Value::Null).await.status, 204);
    assert_eq!(shared.uses("gone").await, all(403, "forbidden_tenant"));
    assert_eq!(app.count("select count(*) from tenantry.tenant_usage").await, 8);
    let deeds = "select array_agg(type order by sequence) from tenantry.billing_events
                 where tenant_id = $1 and type ~ '^team_member'";
    let deeds: Vec<String> = app.admin.query_one(deeds, &[&shared.owner.0]).await.unwrap().get(0);
    let [added, left, removed] = ["added", "left", "removed"].map(|verb| format!("team_member.{verb}"));
    assert_eq!(deeds, [&added, &left, &added, &left, &added, &removed, &added, &added].map(String::as_str));
}

#[tokio::test]
async fn a_team_rests_while_its_owner_has_no_plan_to_share() {
    let shared = Shared::new().await;
    let (app, owner) = (&shared.app, shared.owner.0);
    assert_eq!(shared.uses("a").await, works());
    let set = async |what: &str| {
        let sql = format!("update tenantry.tenant_subscriptions set {what} where tenant_id = $1 and ended_at is null");
        assert_eq!(app.admin.execute(&sql, &[&owner]).await.unwrap(), 1);
    };
    for (what, rests, works_again) in [
        ("the default plan", "plan_id = 'free'", "plan_id = 'pro'"),
        ("an overdue payment beyond its grace", "access = 'fallback'", "access = 'full'"),
        (
            "a cancellation that is due",
            "cancel_at_period_end = true, current_period_start = now() - interval '2 days', current_period_end = now()",
            "cancel_at_period_end = false",
        ),
    ] {
        set(rests).await;
        assert_eq!(shared.uses(&format!("{what}: rests")).await, all(403, "team_plan_inactive"), "{what}");
        // The owner has what the own plan gives, in the own name only.
        let owners = app.in_team(&shared.owner.1, shared.team, "GET", "/api/usage/report", &Value::Null).await;
        assert_eq!(owners.code(), "team_plan_inactive", "{what}");
        assert_eq!(app.get(&shared.owner.1, "/api/usage/report").await.status, 200, "{what}");
        set(works_again).await;
        assert_eq!(shared.uses(&format!("{what}: works")).await, works(), "{what}");
    }
    // A cancellation to come changes nothing yet.
    set("cancel_at_period_end = true, current_period_end = now() + interval '1 day'").await;
    assert_eq!(shared.uses("z").await, works());
    let members = app.get(&shared.owner.1, &shared.members()).await;
    assert_eq!(members.body["data"].as_array().unwrap().len(), 1, "members stay");
}

#[tokio::test]
async fn attack_02_03_a_team_is_named_once_and_alone() {
    let shared = Shared::new().await;
    let (app, member) = (&shared.app, &shared.member.1);
    let team = shared.team.to_string();
    let (_, key) = app.key(&shared.owner.1, shared.owner.0, &["viewUsage"]).await;
    let service = app.service_key().await;
    let acme = app.organization(member).await.to_string();
    let ask = async |token: &str, path: &str, headers: &[(&str, &str)]| {
        let request = app.request("GET", path).bearer_auth(token);
        send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    };
    let usage = "/api/usage/report";
    let own = format!("/api/teams/{team}");
    for (token, path, headers) in [
        (member, usage, vec![("x-team-id", team.as_str()), ("x-team-id", &team)]),
        (member, usage, vec![("x-team-id", team.as_str()), ("x-organization-id", &acme)]),
        (member, usage, vec![("x-team-id", team.as_str()), ("x-tenant-id", &acme)]),
        (member, usage, vec![("x-team-id", "")]),
        (member, usage, vec![("x-team-id", "research")]),
        (member, usage, vec![("x-team-id", "00000000-0000-0000-0000-000000000000")]),
        (member, &own, vec![("x-team-id", "null")]),
        // Teams are users'.
        (&key, usage, vec![("x-team-id", team.as_str())]),
        (&service, usage, vec![("x-team-id", team.as_str())]),
    ] {
        let answer = ask(token, path, &headers).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_context_header"), "{headers:?}: {answer:?}");
    }
    let other = app.team(member).await.to_string();
    for header in [("x-team-id", other.as_str()), ("x-organization-id", &acme), ("x-tenant-id", &acme)] {
        let answer = ask(member, &own, &[header]).await;
        assert_eq!((answer.status, answer.code()), (400, "context_mismatch"), "{answer:?}");
    }
    // What is about the user knows no tenant, and a header that cannot be read is none to be ignored.
    for path in ["/api/teams", "/api/me", "/api/tenants"] {
        assert_eq!(ask(member, path, &[("x-organization-id", "null")]).await.status, 400, "{path}");
    }
    assert_eq!(ask(member, &own, &[("x-team-id", &team)]).await.status, 200);
}

#[tokio::test]
async fn leaving_twice_with_one_key_is_leaving_once_and_adding_is_adding_once() {
    let shared = Shared::new().await;
    let (app, owner, member) = (&shared.app, &shared.owner.1, &shared.member);
    let leave = format!("/api/teams/{}/leave", shared.team);
    let post = async |token: &str, path: &str, key: &str, body: &Value| {
        send(app.request("POST", path).bearer_auth(token).header("idempotency-key", key).json(body)).await
    };
    let (first, again) =
        (post(&member.1, &leave, "k", &json!({})).await, post(&member.1, &leave, "k", &json!({})).await);
    assert_eq!((first.status, again.status), (204, 204), "{again:?}");
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(post(&member.1, &leave, "other", &json!({})).await.status, 404);
    assert_eq!(post(&app.user().await.1, &leave, "k", &json!({})).await.status, 404);
    let body = json!({ "userId": member.0 });
    let (first, again) =
        (post(owner, &shared.members(), "a", &body).await, post(owner, &shared.members(), "a", &body).await);
    assert_eq!((first.status, again.status, &first.body), (201, 201, &again.body));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    // A repeat takes nobody out who came back.
    assert_eq!(post(&member.1, &leave, "k", &json!({})).await.status, 204);
    assert_eq!(app.count("select count(*) from tenantry.team_members").await, 1);
    let (first, again) = (
        post(owner, "/api/teams", "t", &json!({ "name": "Two" })).await,
        post(owner, "/api/teams", "t", &json!({ "name": "Two" })).await,
    );
    assert_eq!((first.status, &first.body), (201, &again.body));
    assert_eq!(app.count("select count(*) from tenantry.teams").await, 2);
}

#[tokio::test]
async fn an_owners_key_sees_that_the_team_is_not_for_keys_and_others_see_nothing() {
    let shared = Shared::new().await;
    let (app, path) = (&shared.app, format!("/api/teams/{}", shared.team));
    let (_, key) = app.key(&shared.owner.1, shared.owner.0, &["manageMembers", "viewUsage"]).await;
    let refused = app.get(&key, &path).await;
    assert_eq!((refused.status, &refused.body["requiredPermission"]), (403, &json!("user")));
    let acme = app.organization(&shared.member.1).await;
    let (_, others) = app.key(&shared.member.1, acme, &["manageMembers", "viewUsage"]).await;
    assert_eq!(app.get(&others, &path).await.status, 404);
}
