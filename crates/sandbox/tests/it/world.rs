//! A sandbox with a customer and prices, in one line.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tenantry_sandbox::{Control, Sandbox, Settings, Source};
use tenantry_stripe_spec::Spec;

pub(crate) const KEY: &str = "sk_test_world";
pub(crate) const DAY: i64 = 86_400;
pub(crate) const VISA: &str = "4242424242424242";

/// Members of 2025-08-27.basil that the document of a later version does not have, at any depth: the older shape of
/// a price that items of subscriptions and of phases carry.
const NOT_IN_DOCUMENT: &[&str] = &["plan"];

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) control: Control,
    pub(crate) real_time: Arc<Mutex<Timestamp>>,
    client: reqwest::Client,
    spec: Option<&'static Spec>,
}

/// 2026-01-15 10:00 UTC.
pub(crate) fn start_time() -> Timestamp {
    "2026-01-15T10:00:00Z".parse().unwrap()
}

impl World {
    pub(crate) async fn start() -> Self {
        let (source, real_time) = Source::manual(start_time(), 7);
        Self::with(source, real_time, None).await
    }

    pub(crate) async fn with(
        source: Source,
        real_time: Arc<Mutex<Timestamp>>,
        state_file: Option<std::path::PathBuf>,
    ) -> Self {
        let sandbox = Sandbox::start(Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            secret_key: KEY.to_owned().into(),
            webhook: None,
            state_file,
            source,
            on_clock: None,
        })
        .await
        .unwrap();
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let spec = Spec::or_ignore("answers against the document");
        Self { control: sandbox.control(), sandbox, real_time, client, spec }
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.url())
    }

    /// A request and its answer, which must fit the document.
    pub(crate) async fn call(&self, method: &str, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let method = method.parse::<reqwest::Method>().unwrap();
        let mut request = self.client.request(method.clone(), self.url(path)).bearer_auth(KEY);
        if !form.is_empty() {
            let body = form_body(form);
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        self.check(method.as_str(), path, status, &body);
        (status, body)
    }

    fn check(&self, method: &str, path: &str, status: u16, body: &Value) {
        let Some(spec) = self.spec else { return };
        let reviewed = |place: &str, problem: &str| {
            let name = place.rsplit('.').next().unwrap_or_default();
            problem == "is unknown" && NOT_IN_DOCUMENT.contains(&name)
        };
        let found: Vec<String> = spec
            .check_response_strictly(method, path, status, body)
            .into_iter()
            .filter(|violation| !reviewed(&violation.place, &violation.problem))
            .map(|violation| violation.to_string())
            .collect();
        assert!(found.is_empty(), "{method} {path} {status}: {found:#?}");
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let (status, body) = self.call("POST", path, form).await;
        assert_eq!(status, 200, "{path}: {body:#}");
        body
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, &[]).await;
        assert_eq!(status, 200, "{path}: {body:#}");
        body
    }

    /// The error of a request that must fail with a status.
    pub(crate) async fn refused(&self, status: u16, path: &str, form: &[(&str, &str)]) -> Value {
        let (got, body) = self.call("POST", path, form).await;
        assert_eq!(got, status, "{path}: {body:#}");
        body["error"].clone()
    }

    pub(crate) async fn customer(&self) -> String {
        id(&self.post("/v1/customers", &[("email", "a@example.com")]).await)
    }

    /// A price in dollars a month.
    pub(crate) async fn price(&self, name: &str, cents: &str, interval: &str) -> String {
        let form = [
            ("product_data[name]", name),
            ("currency", "usd"),
            ("unit_amount", cents),
            ("recurring[interval]", interval),
        ];
        id(&self.post("/v1/prices", &form).await)
    }

    /// A running subscription of a new customer, paid by a card that works unless another token is named.
    pub(crate) async fn subscribed(&self, price: &str, more: &[(&str, &str)]) -> Value {
        let customer = self.customer().await;
        let method = self.post("/v1/payment_methods/pm_card_visa/attach", &[("customer", &customer)]).await;
        let method = id(&method);
        let mut form =
            vec![("customer", customer.as_str()), ("items[0][price]", price), ("default_payment_method", &method)];
        form.extend(more);
        self.post("/v1/subscriptions", &form).await
    }

    pub(crate) async fn advance(&self, seconds: i64) {
        self.control.advance(seconds).await.unwrap();
    }

    /// Types of all events, oldest first. What they tell of must fit the document too.
    pub(crate) async fn event_types(&self) -> Vec<String> {
        let events = self.get("/v1/events?limit=100").await;
        // An upcoming invoice has no id, since it does not exist.
        for event in list(&events).iter().filter(|event| event["type"] != "invoice.upcoming") {
            let found = self.spec.map(|spec| spec.check_object(&event["data"]["object"])).unwrap_or_default();
            assert!(found.is_empty(), "{}: {found:#?}", event["type"]);
        }
        let mut types: Vec<String> = list(&events).iter().map(|event| text(&event["type"])).collect();
        types.reverse();
        types
    }

    /// Posts the form of a hosted page: status, where to, and the page.
    pub(crate) async fn submit(&self, url: &str, form: &[(&str, &str)]) -> (u16, String, String) {
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded");
        let response = request.body(form_body(form)).send().await.unwrap();
        let status = response.status().as_u16();
        let to = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
        (status, to, response.text().await.unwrap())
    }

    pub(crate) fn real_time_passes(&self, seconds: i64) {
        let mut time = self.real_time.lock().unwrap();
        *time = time.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }
}

fn form_body(form: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

pub(crate) fn id(object: &Value) -> String {
    text(&object["id"])
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

pub(crate) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("no number: {value}"))
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value["data"].as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

pub(crate) fn amounts(invoice: &Value) -> Vec<i64> {
    list(&invoice["lines"]).iter().map(|line| number(&line["amount"])).collect()
}
