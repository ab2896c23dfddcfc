//! Whatever changes something leaves an entry in the audit trail: every operation of the OpenAPI document that may
//! change something, called so that it succeeds.

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tenantry::http::router;
use uuid::Uuid;

use super::world::{App, send};

/// Operations that leave none, with the reason. The list may only become shorter.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("POST /api/usage", "events of usage are only ever added, each with who recorded it: they are their own trail"),
    (
        "POST /api/usage/holds",
        "holds are rows that stay, with who took them and how they ended: their own trail, as events",
    ),
    ("POST /api/usage/holds/{holdId}/commit", "the hold's row and the event say it"),
    ("POST /api/usage/holds/{holdId}/release", "the hold's row says it"),
    ("POST /api/billing/preview", "it changes nothing"),
    ("POST /api/usage/preview", "it changes nothing"),
    (
        "POST /api/billing/portal",
        "it changes nothing; what is done at Stripe's page comes by the sync, which leaves entries",
    ),
    ("POST /api/webhooks/stripe", "it stores what Stripe says; the sync leaves an entry of what comes of it"),
];

/// The same for the list's length, which nobody makes longer without being seen.
const MOST_EXCEPTIONS: usize = 8;

/// Every operation of the document that is no read, as `METHOD /path`.
fn changing() -> Vec<String> {
    let document = serde_json::to_value(router::document()).unwrap();
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys().filter(|method| *method != "get") {
            found.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    assert!(found.len() > 20, "only {found:?}");
    found
}

/// A call that succeeds.
struct Call {
    request: RequestBuilder,
    /// Whose trail it is in; of a tenant that is being made, nobody's yet.
    tenant: Option<Uuid>,
}

/// An organization with what calls need.
struct Stage {
    app: App,
    owner_id: Uuid,
    owner: String,
    acme: Uuid,
    service: String,
}

impl Stage {
    async fn new() -> Self {
        let app = App::new().await;
        let (owner_id, owner) = app.user().await;
        let (acme, service) = (app.organization(&owner).await, app.service_key().await);
        let price = "insert into tenantry.stripe_prices
                (price_id, product_id, plan_id, billing_interval, currency, unit_amount, current, created_at)
            values ('price_1', 'prod_1', 'pro', 'month', 'usd', 2900, true, now())";
        app.admin.batch_execute(price).await.unwrap();
        Self { app, owner_id, owner, acme, service }
    }

    fn within(&self, method: &str, path: &str, body: &Value) -> Call {
        let request = self.app.request(method, path).bearer_auth(&self.owner);
        let request = request.header("x-organization-id", self.acme.to_string()).json(body);
        Call { request, tenant: Some(self.acme) }
    }

    fn on(&self, method: &str, rest: &str, body: &Value) -> Call {
        let request = self.app.request(method, &format!("/api/tenants/{}{rest}", self.acme));
        Call { request: request.bearer_auth(&self.owner).json(body), tenant: Some(self.acme) }
    }

    async fn endpoint(&self) -> String {
        let hook = json!({ "url": "http://127.0.0.1:9/hook" });
        let made = self.app.within(&self.owner, self.acme, "POST", "/api/webhook-endpoints", &hook).await;
        made.body["webhookEndpoint"]["id"].as_str().unwrap().to_owned()
    }

    /// The organization pays for a plan, and `what` of its subscription is so.
    async fn pays(&self, plan: &str, what: &str) {
        let sql = format!(
            "update tenantry.tenant_subscriptions set plan_id = '{plan}', provider = 'stripe', {what} where tenant_id = $1"
        );
        assert_eq!(self.app.admin.execute(&sql, &[&self.acme]).await.unwrap(), 1);
        let customer = format!("cus_{}", self.acme.simple());
        let sql = "with made as (
                insert into tenantry.stripe_customers (tenant_id, customer_id, created_at) values ($1, $2, now())
            )
            insert into tenantry.stripe_subscriptions
                (tenant_id, stripe_subscription_id, subscription_id, customer_id, item_id, price_id, status, created_at, updated_at)
            select tenant_id, 'sub_1', id, $2, 'si_1', 'price_1', 'active', now(), now()
            from tenantry.tenant_subscriptions where tenant_id = $1";
        assert_eq!(self.app.admin.execute(sql, &[&self.acme, &customer]).await.unwrap(), 1);
    }

    /// How an operation succeeds.
    async fn call(&self, operation: &str) -> Call {
        let nothing = json!({});
        match operation {
            "POST /api/tenants" => {
                let request = self.app.request("POST", "/api/tenants").bearer_auth(&self.owner);
                Call { request: request.json(&json!({ "name": "Another" })), tenant: None }
            }
            "PATCH /api/tenants/{id}" => self.on("PATCH", "", &json!({ "name": "Renamed" })),
            "DELETE /api/tenants/{id}" => self.on("DELETE", "", &nothing),
            "PUT /api/users/{id}" => {
                let path = format!("/api/users/{}", self.owner_id);
                let request = self.app.request("PUT", &path).bearer_auth(&self.service);
                Call { request: request.json(&json!({ "email": "new@example.com" })), tenant: Some(self.owner_id) }
            }
            "DELETE /api/users/{id}" => {
                let (user, _) = self.app.user().await;
                let request = self.app.request("DELETE", &format!("/api/users/{user}")).bearer_auth(&self.service);
                Call { request, tenant: Some(user) }
            }
            "DELETE /api/users/me" => {
                let (user, token) = self.app.user().await;
                Call { request: self.app.request("DELETE", "/api/users/me").bearer_auth(token), tenant: Some(user) }
            }
            "POST /api/billing/checkout" => self.within("POST", "/api/billing/checkout", &json!({ "planId": "pro" })),
            "POST /api/billing/upgrade" => {
                self.pays("free", "status = 'active'").await;
                self.within("POST", "/api/billing/upgrade", &json!({ "newPlanId": "pro" }))
            }
            "POST /api/billing/downgrade" => {
                self.pays("pro", "status = 'active'").await;
                self.within("POST", "/api/billing/downgrade", &json!({ "newPlanId": "free" }))
            }
            "POST /api/billing/cancel" => {
                self.pays("pro", "status = 'active'").await;
                self.within("POST", "/api/billing/cancel", &nothing)
            }
            "POST /api/billing/resume" => {
                self.pays("pro", "cancel_at = now() + interval '1 day', cancel_at_period_end = true").await;
                self.within("POST", "/api/billing/resume", &nothing)
            }
            other if other.contains("/billing/spend") => self.on_spend(other).await,
            other if other.contains("/webhook-endpoints") => self.on_endpoint(other).await,
            other => self.on_people(other).await,
        }
    }

    async fn on_spend(&self, operation: &str) -> Call {
        let (cap, alerts) = ("/api/billing/spend/cap", "/api/billing/spend/alerts");
        let amount = json!({ "amountCents": 100 });
        match operation {
            "PUT /api/billing/spend/cap" => self.within("PUT", cap, &amount),
            "DELETE /api/billing/spend/cap" => {
                send(self.within("PUT", cap, &amount).request).await;
                self.within("DELETE", cap, &json!({}))
            }
            "POST /api/billing/spend/alerts" => self.within("POST", alerts, &amount),
            "DELETE /api/billing/spend/alerts/{alertId}" => {
                let added = send(self.within("POST", alerts, &amount).request).await;
                let id = added.body["alert"]["id"].as_str().unwrap();
                self.within("DELETE", &format!("{alerts}/{id}"), &json!({}))
            }
            other => panic!("say here how {other} succeeds"),
        }
    }

    async fn on_people(&self, operation: &str) -> Call {
        let (app, key) = (&self.app, json!({ "name": "k", "scopes": ["viewUsage"] }));
        match operation {
            "POST /api/tenants/{id}/leave" => {
                let (_, token) = app.member(&self.owner, self.acme, "member").await;
                let request = app.request("POST", &format!("/api/tenants/{}/leave", self.acme));
                Call { request: request.bearer_auth(token), tenant: Some(self.acme) }
            }
            "POST /api/tenants/{id}/members" => {
                let (user, _) = app.user().await;
                self.on("POST", "/members", &json!({ "userId": user, "role": "member" }))
            }
            "PATCH /api/tenants/{id}/members/{userId}" => {
                let (user, _) = app.member(&self.owner, self.acme, "member").await;
                self.on("PATCH", &format!("/members/{user}"), &json!({ "role": "admin" }))
            }
            "DELETE /api/tenants/{id}/members/{userId}" => {
                let (user, _) = app.member(&self.owner, self.acme, "member").await;
                self.on("DELETE", &format!("/members/{user}"), &json!({}))
            }
            "POST /api/keys" => self.within("POST", "/api/keys", &key),
            "DELETE /api/keys/{keyId}" => {
                let (id, _) = app.key(&self.owner, self.acme, &["viewUsage"]).await;
                self.within("DELETE", &format!("/api/keys/{id}"), &json!({}))
            }
            "POST /api/keys/{keyId}/rotate" => {
                let (id, _) = app.key(&self.owner, self.acme, &["viewUsage"]).await;
                self.within("POST", &format!("/api/keys/{id}/rotate"), &json!({}))
            }
            "POST /api/tenants/{id}/transfer-ownership" => {
                let (user, _) = app.member(&self.owner, self.acme, "member").await;
                self.on("POST", "/transfer-ownership", &json!({ "userId": user }))
            }
            other if other.contains("/api/teams") => self.on_team(other).await,
            other if other.contains("invitations") => self.on_invitation(other).await,
            other => panic!("say here how {other} succeeds"),
        }
    }

    /// Teams are their owner's own: the trail is that of the owner's personal tenant.
    async fn on_team(&self, operation: &str) -> Call {
        let app = &self.app;
        let team = app.team(&self.owner).await;
        let path = format!("/api/teams/{team}");
        let ask = |method: &str, path: &str, body: Value| {
            let request = app.request(method, path).bearer_auth(&self.owner).json(&body);
            Call { request, tenant: Some(self.owner_id) }
        };
        match operation {
            "POST /api/teams" => ask("POST", "/api/teams", json!({ "name": "Another" })),
            "PATCH /api/teams/{id}" => ask("PATCH", &path, json!({ "name": "Renamed" })),
            "DELETE /api/teams/{id}" => ask("DELETE", &path, json!({})),
            "POST /api/teams/{id}/members" => {
                let (user, _) = app.user().await;
                ask("POST", &format!("{path}/members"), json!({ "userId": user }))
            }
            "DELETE /api/teams/{id}/members/{userId}" => {
                let (user, _) = app.teammate(&self.owner, team).await;
                ask("DELETE", &format!("{path}/members/{user}"), json!({}))
            }
            "POST /api/teams/{id}/leave" => {
                let (_, token) = app.teammate(&self.owner, team).await;
                let request = app.request("POST", &format!("{path}/leave")).bearer_auth(token);
                Call { request: request.json(&json!({})), tenant: Some(self.owner_id) }
            }
            other => panic!("say here how {other} succeeds"),
        }
    }

    async fn on_invitation(&self, operation: &str) -> Call {
        let invited = json!({ "email": "bea@example.com", "role": "member" });
        if operation == "POST /api/tenants/{id}/invitations" {
            return self.on("POST", "/invitations", &invited);
        }
        let made = send(self.on("POST", "/invitations", &invited).request).await;
        let (id, token) = (made.body["invitation"]["id"].as_str().unwrap(), made.body["token"].as_str().unwrap());
        match operation {
            "POST /api/tenants/{id}/invitations/{invitationId}/resend" => {
                self.on("POST", &format!("/invitations/{id}/resend"), &json!({}))
            }
            "DELETE /api/tenants/{id}/invitations/{invitationId}" => {
                self.on("DELETE", &format!("/invitations/{id}"), &json!({}))
            }
            "POST /api/invitations/accept" => {
                let (_, bea) = super::invitations::verified(&self.app, "bea@example.com");
                let request = self.app.request("POST", "/api/invitations/accept").bearer_auth(bea);
                Call { request: request.json(&json!({ "token": token })), tenant: Some(self.acme) }
            }
            other => panic!("say here how {other} succeeds"),
        }
    }

    async fn on_endpoint(&self, operation: &str) -> Call {
        let (id, nothing) = (self.endpoint().await, json!({}));
        let path = format!("/api/webhook-endpoints/{id}");
        match operation {
            "POST /api/webhook-endpoints" => {
                self.within("POST", "/api/webhook-endpoints", &json!({ "url": "http://127.0.0.1:9/hook" }))
            }
            "PATCH /api/webhook-endpoints/{endpointId}" => self.within("PATCH", &path, &json!({ "enabled": false })),
            "DELETE /api/webhook-endpoints/{endpointId}" => self.within("DELETE", &path, &nothing),
            "POST /api/webhook-endpoints/{endpointId}/rotate-secret" => {
                self.within("POST", &format!("{path}/rotate-secret"), &nothing)
            }
            "POST /api/webhook-endpoints/{endpointId}/test" => self.within("POST", &format!("{path}/test"), &nothing),
            "POST /api/webhook-endpoints/{endpointId}/deliveries/{deliveryId}/replay" => {
                let tested = self.app.within(&self.owner, self.acme, "POST", &format!("{path}/test"), &nothing).await;
                let delivery = tested.body["webhookDelivery"]["id"].as_str().unwrap();
                self.within("POST", &format!("{path}/deliveries/{delivery}/replay"), &nothing)
            }
            other => panic!("say here how {other} succeeds"),
        }
    }

    async fn entries(&self, tenant: Uuid) -> i64 {
        let sql = "select count(*) from tenantry.billing_events where tenant_id = $1";
        self.app.admin.query_one(sql, &[&tenant]).await.unwrap().get(0)
    }
}

#[tokio::test]
async fn attack_30_whatever_changes_something_leaves_an_entry() {
    let mut stage = Stage::new().await;
    let operations = changing();
    for (operation, _) in EXCEPTIONS {
        assert!(operations.iter().any(|known| known == operation), "{operation} is no operation any more");
    }
    assert!(EXCEPTIONS.len() <= MOST_EXCEPTIONS);
    let mut tried = 0;
    for operation in operations.iter().filter(|name| EXCEPTIONS.iter().all(|(known, _)| known != name)) {
        // Each acts on an organization of its own, so that none stands in another's way.
        stage.acme = stage.app.organization(&stage.owner).await;
        let Call { request, tenant } = stage.call(operation).await;
        let before = match tenant {
            Some(tenant) => stage.entries(tenant).await,
            None => 0,
        };
        let answer = send(request).await;
        // Stripe is out of reach here: what is asked of it is accepted, with its entry, and goes on later.
        let accepted = answer.status < 300 || (answer.status == 503 && answer.body["operationId"].is_string());
        assert!(accepted, "{operation}: {answer:?}");
        let made = answer.body["tenant"]["id"].as_str().and_then(|id| id.parse().ok());
        let tenant = tenant.or(made).unwrap();
        assert!(stage.entries(tenant).await > before, "{operation} leaves no entry");
        tried += 1;
    }
    assert!(tried >= 20, "only {tried}");
}
