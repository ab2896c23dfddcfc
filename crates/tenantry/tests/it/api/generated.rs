//! Attacks on every route, made from the OpenAPI document: a new route is attacked without being named here, and one
//! with an id of a new kind fails until somebody says whose it is.

use serde_json::{Value, json};
use tenantry::http::auth::sign_development_token;
use tenantry::http::router;
use uuid::Uuid;

use super::world::{Answer, App, send, settings};

/// Routes with ids for service keys alone, which may name any tenant: everybody else is refused for what they are.
const FOR_SERVICE_KEYS: &[&str] = &["PUT /api/users/{id}", "DELETE /api/users/{id}", "GET /api/permissions/check"];

/// Routes about the user itself, which know no tenant.
const OF_THE_USER: &[&str] = &[
    "GET /api/me",
    "DELETE /api/users/me",
    "GET /api/tenants",
    "POST /api/tenants",
    "GET /api/teams",
    "POST /api/teams",
    "POST /api/invitations/accept",
];

/// What may be asked in the name of a team; nothing else may.
const FOR_TEAMS: &[&str] = &[
    "GET /api/billing/subscription",
    "GET /api/usage",
    "GET /api/usage/check",
    "GET /api/usage/report",
    "POST /api/usage",
    "GET /api/usage/holds",
    "POST /api/usage/holds",
    "GET /api/usage/holds/{holdId}",
    "POST /api/usage/holds/{holdId}/commit",
    "POST /api/usage/holds/{holdId}/release",
];

/// One operation of the document.
struct Operation {
    method: String,
    path: String,
    /// (name, where) of parameters that are UUIDs.
    ids: Vec<(String, String)>,
    /// The rest of the query that must be there.
    query: Vec<String>,
    /// A body that can be read, where there is one.
    body: Option<Value>,
    /// Names that the body may have.
    fields: Vec<String>,
}

impl Operation {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether the tenant, or the team, stands in the path; then no header names one.
    fn names_tenant(&self) -> bool {
        self.path.starts_with("/api/tenants/{id}") || self.path.starts_with("/api/teams/{id}")
    }

    /// The path and query with these ids in the order of `ids`.
    fn at(&self, ids: &[Uuid]) -> String {
        let mut path = self.path.clone();
        let mut query = self.query.clone();
        for ((name, place), id) in self.ids.iter().zip(ids) {
            match place.as_str() {
                "path" => path = path.replace(&format!("{{{name}}}"), &id.to_string()),
                _ => query.push(format!("{name}={id}")),
            }
        }
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(target) => resolved(document, document.pointer(target.trim_start_matches('#')).unwrap()),
        None => schema,
    }
}

/// A value that fits a schema, as far as reading it goes.
fn sample(document: &Value, schema: &Value) -> Value {
    let schema = resolved(document, schema);
    if let Some(first) = schema["oneOf"].as_array().and_then(|choices| choices.first()) {
        return sample(document, first);
    }
    let example = [&schema["example"], &schema["examples"][0], &schema["enum"][0]];
    if let Some(example) = example.into_iter().find(|example| !example.is_null()) {
        return example.clone();
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or_default();
    match (kind, schema["format"].as_str()) {
        ("string", Some("uuid")) => json!("0190f5a2-7c1e-7b7a-8f00-000000000001"),
        ("string", Some("date-time")) => json!("2040-01-01T00:00:00Z"),
        ("string", _) => json!("text"),
        ("integer" | "number", _) => json!(1),
        ("boolean", _) => json!(true),
        ("array", _) => json!([sample(document, &schema["items"])]),
        _ => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            fields.map(|(name, field)| (name.clone(), sample(document, field))).collect()
        }
    }
}

/// Names that a body may have; of all its kinds, where there are several.
fn fields(document: &Value, schema: &Value) -> Vec<String> {
    let schema = resolved(document, schema);
    let choices = schema["oneOf"].as_array().into_iter().flatten().flat_map(|choice| fields(document, choice));
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    own.chain(choices).collect()
}

/// A parameter of the query that must be there and is no id.
fn query(parameter: &Value) -> String {
    match parameter["name"].as_str().unwrap() {
        "metric" => "metric=calls".to_owned(),
        "amount" => "amount=1".to_owned(),
        "permission" => "permission=viewUsage".to_owned(),
        name => panic!("say here what {name} may be"),
    }
}

/// Every operation under `/api/` that a caller with a token or a key asks for; Stripe shows who it is by a signature.
fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(router::document()).unwrap();
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let ids = parameters.iter().filter(|one| one["schema"]["format"] == "uuid");
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = (!schema.is_null()).then(|| match path.as_str() {
                // The sample names a metric that the tests' catalog does not have.
                "/api/usage" => json!({ "metric": "calls", "amount": 1, "idempotencyKey": "k" }),
                "/api/usage/preview" => {
                    json!({ "events": [{ "metric": "calls", "amount": 1, "idempotencyKey": "k" }] })
                }
                "/api/usage/holds" => json!({ "metric": "calls", "amount": 1 }),
                "/api/usage/holds/{holdId}/commit" => json!({ "amount": 1 }),
                _ => sample(&document, schema),
            });
            let is_due = |one: &&Value| one["in"] == "query" && one["required"] == true;
            let queries = parameters.iter().filter(is_due).filter(|one| one["schema"]["format"] != "uuid");
            if path.starts_with("/api/") && path != "/api/webhooks/stripe" {
                found.push(Operation {
                    method: method.to_uppercase(),
                    path: path.clone(),
                    ids: ids.map(|one| (text(&one["name"]), text(&one["in"]))).collect(),
                    query: queries.map(query).collect(),
                    fields: fields(&document, schema),
                    body,
                });
            }
        }
    }
    assert!(found.len() > 15, "only {} operations", found.len());
    found
}

/// Two organizations that have nothing to do with each other, and what ids stand for in each.
struct Two {
    app: App,
    /// Owner of `mine`, and a key of it that may do everything.
    callers: [String; 2],
    mine: Objects,
    foreign: Objects,
}

struct Objects {
    tenant: Uuid,
    team: Uuid,
    user: Uuid,
    key: Uuid,
    endpoint: Uuid,
    delivery: Uuid,
    operation: Uuid,
    invitation: Uuid,
    charge: Uuid,
    hold: Uuid,
    alert: Uuid,
}

impl Objects {
    async fn new(app: &App) -> (String, String, Self) {
        let (_, owner) = app.user().await;
        let tenant = app.organization(&owner).await;
        let (user, _) = app.member(&owner, tenant, "member").await;
        let team = app.team(&owner).await;
        let put = app.call(&owner, "POST", &format!("/api/teams/{team}/members"), &json!({ "userId": user })).await;
        assert_eq!(put.status, 201, "{put:?}");
        let all = ["manageBilling", "viewBilling", "manageMembers", "viewUsage", "recordUsage"];
        let (key, secret) = app.key(&owner, tenant, &all).await;
        let hook = serde_json::json!({ "url": "http://127.0.0.1:9/hook" });
        let endpoint = app.within(&owner, tenant, "POST", "/api/webhook-endpoints", &hook).await;
        assert_eq!(endpoint.status, 201, "{endpoint:?}");
        let endpoint = id_of(&endpoint.body["webhookEndpoint"]);
        let path = format!("/api/webhook-endpoints/{endpoint}/test");
        let tested = app.within(&owner, tenant, "POST", &path, &serde_json::json!({})).await;
        assert_eq!(tested.status, 202, "{tested:?}");
        let operation = app.id();
        let sql = "insert into tenantry.billing_operations
                       (tenant_id, id, kind, state, request, outcome, actor, created_at, finished_at)
                   values ($1, $2, 'cancel', 'succeeded', '{}', '{}', 'system', now(), now())";
        app.admin.execute(sql, &[&tenant, &operation]).await.unwrap();
        let path = format!("/api/tenants/{tenant}/invitations");
        let invited = json!({ "email": "bea@example.com", "role": "member" });
        let invited = app.call(&owner, "POST", &path, &invited).await;
        assert_eq!(invited.status, 201, "{invited:?}");
        let invitation = id_of(&invited.body["invitation"]);
        let delivery = id_of(&tested.body["webhookDelivery"]);
        let charge = charge(app, tenant).await;
        let wanted = json!({ "metric": "calls", "amount": 1 });
        let taken = app.within(&owner, tenant, "POST", "/api/usage/holds", &wanted).await;
        assert_eq!(taken.status, 201, "{taken:?}");
        let hold = id_of(&taken.body);
        let alert = json!({ "amountCents": 100 });
        let added = app.within(&owner, tenant, "POST", "/api/billing/spend/alerts", &alert).await;
        assert_eq!(added.status, 201, "{added:?}");
        let alert = id_of(&added.body["alert"]);
        (
            owner,
            secret,
            Self { tenant, team, user, key, endpoint, delivery, operation, invitation, charge, hold, alert },
        )
    }

    /// What a parameter of a path names here.
    fn of(&self, operation: &Operation, parameter: &str) -> Uuid {
        let before = operation.path.split(&format!("{{{parameter}}}")).next().unwrap();
        let is_query = before.len() == operation.path.len();
        match (before.trim_end_matches('/').rsplit('/').next().unwrap(), parameter) {
            ("tenants", _) => self.tenant,
            ("teams", _) => self.team,
            ("members" | "users", _) => self.user,
            ("keys", _) => self.key,
            ("webhook-endpoints", _) => self.endpoint,
            ("deliveries", _) => self.delivery,
            ("invitations", _) => self.invitation,
            ("alerts", _) => self.alert,
            ("operations", _) => self.operation,
            ("charges", _) => self.charge,
            ("holds", _) => self.hold,
            (_, "tenantId") if is_query => self.tenant,
            (_, "userId") if is_query => self.user,
            _ => panic!("{}: say here what {parameter} is of another tenant", operation.name()),
        }
    }
}

/// A charge for a period of the past, as closing it would have left it.
async fn charge(app: &App, tenant: Uuid) -> Uuid {
    let (id, start) = (app.id(), "now() - interval '40 days'");
    let sql = format!(
        "with period as (
             insert into tenantry.usage_periods (tenant_id, period_start, period_end, anchor, state)
             values ('{tenant}', {start}, {start} + interval '30 days', {start}, 'closed')
         ), counter as (
             insert into tenantry.usage_counters
                 (tenant_id, metric, period_start, period_end, segment_sequence, segment_start, closed, in_plan)
             values ('{tenant}', 'tokens', {start}, {start} + interval '30 days', 0, {start}, true, true)
         )
         insert into tenantry.overage_charges
             (tenant_id, metric, billing_period_start, sequence, id, tenant_type, overage_amount, charge_amount_cents,
              currency, inputs, created_at)
         values ('{tenant}', 'tokens', {start}, 0, '{id}', 'organization', 0, 1, 'usd',
                 '{{\"segments\": [], \"exactMinor\": \"1\", \"total\": \"0\", \"chargedBefore\": 0}}', now())"
    );
    app.admin.batch_execute(&sql).await.unwrap();
    id
}

fn id_of(object: &serde_json::Value) -> Uuid {
    object["id"].as_str().unwrap_or_else(|| panic!("no id in {object}")).parse().unwrap()
}

impl Two {
    async fn new() -> Self {
        let app = App::new().await;
        let (owner, key, mine) = Objects::new(&app).await;
        let (_, _, foreign) = Objects::new(&app).await;
        Self { app, callers: [owner, key], mine, foreign }
    }

    async fn ask(&self, caller: &str, operation: &Operation, ids: &[Uuid]) -> Answer {
        let mut request = self.app.request(&operation.method, &operation.at(ids)).bearer_auth(caller);
        if !operation.names_tenant() {
            request = request.header("x-organization-id", self.mine.tenant.to_string());
        }
        if let Some(body) = &operation.body {
            request = request.json(body);
        }
        send(request).await
    }

    /// Everything that the other organization has, but for what is written down about attempts.
    async fn of_the_foreign(&self) -> String {
        let sql = "select (select md5(string_agg(t::text, '|' order by id)) from tenantry.tenants t where id = $1)
            || (select md5(string_agg(m::text, '|' order by user_id)) from tenantry.tenant_members m where tenant_id = $1)
            || (select md5(string_agg(k::text, '|' order by id)) from tenantry.api_keys k where tenant_id = $1)
            || (select md5(string_agg(e::text, '|' order by id)) from tenantry.webhook_endpoints e where tenant_id = $1)
            || (select md5(string_agg(d::text, '|' order by id)) from tenantry.webhook_deliveries d where tenant_id = $1)
            || (select md5(string_agg(i::text, '|' order by id)) from tenantry.invitations i where tenant_id = $1)
            || (select md5(string_agg(m::text, '|' order by id)) from tenantry.invitation_mails m where tenant_id = $1)
            || (select md5(string_agg(t::text, '|' order by id)) from tenantry.teams t where id = $2)
            || (select md5(string_agg(m::text, '|' order by user_id)) from tenantry.team_members m where team_id = $2)
            || (select md5(string_agg(h::text, '|' order by id)) from tenantry.usage_holds h where tenant_id = $1)
            || (select md5(string_agg(a::text, '|' order by id)) from tenantry.spend_alerts a where tenant_id = $1)
            || (select count(*)::text from tenantry.billing_operations where tenant_id = $1)
            || (select count(*)::text from tenantry.billing_events where tenant_id = $1)
            || (select count(*)::text from tenantry.security_events where tenant_id = $1)";
        self.app.admin.query_one(sql, &[&self.foreign.tenant, &self.foreign.team]).await.unwrap().get(0)
    }
}

#[tokio::test]
async fn attack_09_10_11_every_id_of_another_tenant_answers_as_an_unknown_one() {
    let two = Two::new().await;
    let before = two.of_the_foreign().await;
    let mut tried = 0;
    for operation in operations().iter().filter(|operation| !operation.ids.is_empty()) {
        let names: Vec<&str> = operation.ids.iter().map(|(name, _)| name.as_str()).collect();
        // Each choice of ids that are the other's: all of them, and mixed with those of one's own.
        for choice in 1_u32..1 << names.len() {
            let ids = |theirs: &dyn Fn(&str) -> Uuid| -> Vec<Uuid> {
                let pick = |(index, name): (usize, &&str)| {
                    if choice & (1 << index) == 0 { two.mine.of(operation, name) } else { theirs(name) }
                };
                names.iter().enumerate().map(pick).collect()
            };
            let (foreign, unknown) = (ids(&|name| two.foreign.of(operation, name)), ids(&|_| two.app.id()));
            let place = format!("{} with {foreign:?}", operation.name());
            for caller in &two.callers {
                let theirs = two.ask(caller, operation, &foreign).await;
                let nothing = two.ask(caller, operation, &unknown).await;
                let status = if FOR_SERVICE_KEYS.contains(&operation.name().as_str()) { 403 } else { 404 };
                assert_eq!(theirs.status, status, "{place}: {theirs:?}");
                assert_eq!(theirs.lasting(), nothing.lasting(), "{place}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 24, "only {tried} attacks");
    for name in FOR_SERVICE_KEYS {
        assert!(operations().iter().any(|operation| operation.name() == *name), "{name} is no route any more");
    }
    assert_eq!(two.of_the_foreign().await, before);
}

#[tokio::test]
async fn attack_01_every_route_of_a_foreign_tenant_in_the_header_answers_as_of_an_unknown_one() {
    let app = App::new().await;
    let (_, _, foreign) = Objects::new(&app).await;
    let ((own, user), (_, owner)) = (app.user().await, app.user().await);
    let acme = app.organization(&owner).await;
    let (_, key) = app.key(&owner, acme, &["viewUsage", "recordUsage", "manageBilling", "viewBilling"]).await;
    let mut tried = 0;
    for operation in operations() {
        let name = operation.name();
        if operation.names_tenant() || OF_THE_USER.contains(&&*name) || FOR_SERVICE_KEYS.contains(&&*name) {
            continue;
        }
        let ids: Vec<Uuid> = operation.ids.iter().map(|(name, _)| foreign.of(&operation, name)).collect();
        for caller in [&user, &key] {
            let ask = async |tenant: Uuid| {
                let request = app.request(&operation.method, &operation.at(&ids)).bearer_auth(caller);
                let request = request.header("x-organization-id", tenant.to_string());
                send(match &operation.body {
                    Some(body) => request.json(body),
                    None => request,
                })
                .await
            };
            let (theirs, nothing) = (ask(foreign.tenant).await, ask(app.id()).await);
            assert_eq!((theirs.status, theirs.code()), (403, "forbidden_tenant"), "{name}: {theirs:?}");
            assert_eq!(theirs.lasting(), nothing.lasting(), "{name}");
            tried += 1;
        }
    }
    assert!(tried >= 18, "only {tried} attacks");
    // Each is written down for whoever tried, nothing of it for whoever was tried.
    let written = async |tenant: Uuid| -> i64 {
        let sql = "select count(*) from tenantry.security_events where tenant_id = $1 and type = 'forbidden_tenant'";
        app.admin.query_one(sql, &[&tenant]).await.unwrap().get(0)
    };
    assert_eq!((written(own).await, written(acme).await, written(foreign.tenant).await), (tried, tried, 0));
    let recorded = app.count("select count(*) from tenantry.tenant_usage").await;
    assert_eq!(recorded, 0);
}

#[tokio::test]
async fn attack_16_deliveries_payloads_and_invoices_of_another_tenant_are_out_of_reach() {
    let two = Two::new().await;
    let Two { app, callers, mine, foreign } = &two;
    let invoice = "insert into tenantry.invoices
            (tenant_id, id, stripe_invoice_id, status, currency, subtotal, tax, total, amount_due, amount_paid,
             amount_remaining, period_start, period_end, lines, hosted_invoice_url, attempt_count, created_at, updated_at)
        values ($1, $2, 'in_' || ($2::uuid)::text, 'open', 'usd', 1, 0, 1, 1, 0, 1, now(), now(), '[]',
                'https://pay.example/' || ($2::uuid)::text, 0, now(), now())";
    for tenant in [mine.tenant, foreign.tenant] {
        app.admin.execute(invoice, &[&tenant, &app.id()]).await.unwrap();
    }
    let hooks = "/api/webhook-endpoints";
    for caller in callers {
        let ask = async |method: &str, path: String| app.within(caller, mine.tenant, method, &path, &Value::Null).await;
        // Their endpoint, my endpoint with their delivery, theirs with mine.
        let (my, their) = (mine.endpoint, foreign.endpoint);
        for (method, path) in [
            ("GET", format!("{hooks}/{their}")),
            ("GET", format!("{hooks}/{their}/deliveries")),
            ("POST", format!("{hooks}/{their}/deliveries/{}/replay", foreign.delivery)),
            ("POST", format!("{hooks}/{my}/deliveries/{}/replay", foreign.delivery)),
            ("POST", format!("{hooks}/{their}/deliveries/{}/replay", mine.delivery)),
            ("POST", format!("{hooks}/{their}/rotate-secret")),
            ("GET", format!("/api/billing/operations/{}", foreign.operation)),
        ] {
            let (theirs, nothing) =
                (ask(method, path.clone()).await, ask("GET", format!("{hooks}/{}", app.id())).await);
            assert_eq!(theirs.status, 404, "{path}");
            assert_eq!(theirs.lasting(), nothing.lasting(), "{path}");
        }
        for path in ["/api/billing/invoices", "/api/notifications", "/api/webhook-endpoints"] {
            let list = ask("GET", path.to_owned()).await;
            assert_eq!(list.status, 200, "{list:?}");
            assert!(!list.body.to_string().contains(&foreign.tenant.to_string()), "{list:?}");
        }
        let invoices = ask("GET", "/api/billing/invoices".to_owned()).await;
        assert_eq!(invoices.body["data"].as_array().unwrap().len(), 1, "{invoices:?}");
    }
}

#[tokio::test]
async fn attack_25_in_the_name_of_a_team_the_plan_is_used_and_nothing_else() {
    let app = App::new().await;
    let (owner, _, mine) = Objects::new(&app).await;
    let (_, _, foreign) = Objects::new(&app).await;
    let (user, member) = app.teammate(&owner, mine.team).await;
    let owner_id: Uuid = app.get(&owner, "/api/me").await.body["id"].as_str().unwrap().parse().unwrap();
    app.put_on_plan(owner_id, "pro").await;
    let (mut tried, mut allowed) = (0, 0);
    for operation in operations() {
        let name = operation.name();
        let is_of_a_team = operation.path.starts_with("/api/teams/{id}");
        if is_of_a_team || OF_THE_USER.contains(&&*name) || FOR_SERVICE_KEYS.contains(&&*name) {
            continue;
        }
        let ids: Vec<Uuid> = operation.ids.iter().map(|(name, _)| mine.of(&operation, name)).collect();
        let body = operation.body.clone().unwrap_or(Value::Null);
        for caller in [&member, &owner] {
            let mut ids = ids.clone();
            if operation.path.starts_with("/api/usage/holds/") {
                // Of what is held in the name of a team everybody has their own.
                let held = json!({ "metric": "calls", "amount": 1 });
                ids = vec![id_of(&app.in_team(caller, mine.team, "POST", "/api/usage/holds", &held).await.body)];
            }
            let ask = async |team: Uuid| app.in_team(caller, team, &operation.method, &operation.at(&ids), &body).await;
            let answer = ask(mine.team).await;
            if FOR_TEAMS.contains(&&*name) {
                assert!([200, 201].contains(&answer.status), "{name}: {answer:?}");
                allowed += 1;
            } else {
                assert_eq!((answer.status, answer.code()), (403, "insufficient_permissions"), "{name}: {answer:?}");
                tried += 1;
            }
            let (theirs, nothing) = (ask(foreign.team).await, ask(app.id()).await);
            assert_eq!((theirs.status, theirs.code()), (403, "forbidden_tenant"), "{name}: {theirs:?}");
            assert_eq!(theirs.lasting(), nothing.lasting(), "{name}");
        }
    }
    assert_eq!(allowed, 2 * FOR_TEAMS.len());
    assert!(tried >= 60, "only {tried} attacks");
    // Each is written down for whoever tried; the foreign team's owner learns nothing.
    let written = async |tenant: Uuid, kind: &str| -> i64 {
        let sql = "select count(*) from tenantry.security_events where tenant_id = $1 and type = $2";
        app.admin.query_one(sql, &[&tenant, &kind]).await.unwrap().get(0)
    };
    for tenant in [user, owner_id] {
        assert_eq!(written(tenant, "insufficient_permissions").await, tried / 2);
        assert_eq!(written(tenant, "forbidden_team").await, tried + i64::try_from(allowed).unwrap());
    }
    let all = "select count(*) from tenantry.security_events";
    assert_eq!(app.count(all).await, 3 * tried + 2 * i64::try_from(allowed).unwrap());
}

#[tokio::test]
async fn attack_13_every_body_names_the_field_that_is_not_expected() {
    let two = Two::new().await;
    let service = two.app.service_key().await;
    let mut tried = 0;
    for operation in operations().iter().filter(|operation| operation.body.is_some()) {
        let ids: Vec<Uuid> = operation.ids.iter().map(|(name, _)| two.mine.of(operation, name)).collect();
        let is_for_service_keys = FOR_SERVICE_KEYS.contains(&operation.name().as_str());
        for field in ["tenantId", "ownerId", "role", "planId", "permissions"] {
            if operation.fields.iter().any(|known| known == field) {
                continue;
            }
            let mut request =
                self::request(&two, operation, &ids, if is_for_service_keys { &service } else { &two.callers[0] });
            request = request.json(&json!({ field: "x" }));
            let answer = send(request).await;
            let place = format!("{} with {field}: {answer:?}", operation.name());
            assert_eq!((answer.status, answer.code()), (422, "validation_failed"), "{place}");
            assert_eq!(answer.body["errors"][0]["field"], field, "{place}");
            tried += 1;
        }
    }
    assert!(tried >= 20, "only {tried} attacks");
}

#[tokio::test]
async fn every_operation_wants_credentials_that_are_good() {
    let app = App::new().await;
    let (user, owner) = app.user().await;
    let acme = app.organization(&owner).await;
    let all = ["manageBilling", "viewBilling", "manageMembers", "viewUsage", "recordUsage"];
    let (key_id, revoked) = app.key(&owner, acme, &all).await;
    assert_eq!(app.get(&revoked, "/api/usage/report").await.status, 200);
    let path = format!("/api/keys/{key_id}");
    assert_eq!(app.within(&owner, acme, "DELETE", &path, &Value::Null).await.status, 204);
    let service = app.service_key().await;
    let mistyped = format!("{}{}", &service[..service.len() - 1], if service.ends_with('A') { 'B' } else { 'A' });
    let now = app.env.clock.now().as_second();
    let expired = sign_development_token(&settings(), user, None, now - 7200, now - 3600).unwrap();
    let bad = [
        None,
        Some(String::new()),
        Some("Bearer ".to_owned()),
        Some(owner.clone()),
        Some(format!("Basic {owner}")),
        Some(format!("Bearer {owner}x")),
        Some(format!("Bearer {expired}")),
        Some("Bearer null".to_owned()),
        Some(format!("Bearer {mistyped}")),
        Some(format!("Bearer {revoked}")),
    ];
    let audit = "select count(*) from tenantry.billing_events";
    let before = app.count(audit).await;
    let mut tried = 0;
    for operation in operations() {
        let ids: Vec<Uuid> = operation.ids.iter().map(|_| acme).collect();
        for given in &bad {
            let mut request = app.request(&operation.method, &operation.at(&ids));
            if !operation.names_tenant() {
                request = request.header("x-organization-id", acme.to_string());
            }
            if let Some(given) = given {
                request = request.header("authorization", given);
            }
            if let Some(body) = &operation.body {
                request = request.json(body);
            }
            let answer = send(request).await;
            assert_eq!((answer.status, answer.code()), (401, "unauthenticated"), "{} {given:?}", operation.name());
            assert!(answer.headers.contains_key("www-authenticate"), "{}", operation.name());
            tried += 1;
        }
        // Two at once are none.
        let request = app.request(&operation.method, &operation.at(&ids)).bearer_auth(&owner).bearer_auth(&owner);
        assert_eq!(send(request).await.status, 401, "{}", operation.name());
    }
    assert!(tried > 300, "only {tried} tries");
    assert_eq!(app.count(audit).await, before);
}

fn request(two: &Two, operation: &Operation, ids: &[Uuid], caller: &str) -> reqwest::RequestBuilder {
    let request = two.app.request(&operation.method, &operation.at(ids)).bearer_auth(caller);
    if operation.names_tenant() || operation.path.starts_with("/api/users") {
        return request;
    }
    request.header("x-organization-id", two.mine.tenant.to_string())
}
