//! What goes wrong, in the shape in which Stripe says it.

use serde_json::{Map, Value, json};

/// An error answer: `{error: {type, code, message, param, ...}}` with its status.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    kind: &'static str,
    code: Option<&'static str>,
    message: String,
    param: Option<String>,
    extra: Map<String, Value>,
    /// Whether what was done until here stays done: a declined payment has happened, a wrong parameter has not.
    pub(crate) keep: bool,
}

/// What an operation of the API gives back.
pub(crate) type Answer = Result<Value, Fault>;

impl Fault {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code: None, message: message.into(), param: None, extra: Map::new(), keep: false }
    }

    /// 400 `invalid_request_error` without a code.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// 402 `card_error`.
    pub(crate) fn card(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(402, "card_error", message).code(code)
    }

    /// 401: no key, or not the one of this sandbox.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "invalid_request_error", message)
    }

    /// 404: there is no such route.
    pub(crate) fn unknown_route(method: &str, path: &str) -> Self {
        Self::new(404, "invalid_request_error", format!("Unrecognized request URL ({method}: {path})."))
    }

    /// An object that the path names is not there.
    pub(crate) fn missing(kind: &str, id: &str) -> Self {
        let mut fault = Self::invalid(format!("No such {kind}: '{id}'")).code("resource_missing").param("id");
        fault.status = 404;
        fault
    }

    /// An object that a parameter names is not there.
    pub(crate) fn missing_param(kind: &str, id: &str, param: &str) -> Self {
        Self::invalid(format!("No such {kind}: '{id}'")).code("resource_missing").param(param)
    }

    /// The same idempotency key with other parameters.
    pub(crate) fn idempotency(message: impl Into<String>) -> Self {
        Self::new(400, "idempotency_error", message)
    }

    /// 409: the first request with this idempotency key is still under way.
    pub(crate) fn in_flight() -> Self {
        let message =
            "There is currently another in-progress request using this Idempotency-Key. Please try again later.";
        Self::new(409, "idempotency_error", message).code("idempotency_key_in_use")
    }

    /// 429.
    pub(crate) fn rate_limited() -> Self {
        Self::new(429, "invalid_request_error", "Too many requests hit the API too quickly.").code("rate_limit")
    }

    /// 5xx, as a switch of the control interface asked for it.
    pub(crate) fn server(status: u16) -> Self {
        Self::new(status, "api_error", "The sandbox was told to fail this request.")
    }

    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// What a person may read.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The `error` member.
    pub(crate) fn error(&self) -> Value {
        let mut error = Map::new();
        if let Some(code) = self.code {
            error.insert("code".into(), code.into());
            error.insert(
                "doc_url".into(),
                format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-")).into(),
            );
        }
        error.insert("message".into(), self.message.clone().into());
        if let Some(param) = &self.param {
            error.insert("param".into(), param.clone().into());
        }
        error.extend(self.extra.clone());
        error.insert("type".into(), self.kind.into());
        Value::Object(error)
    }

    /// The whole body.
    pub(crate) fn body(&self) -> Value {
        json!({ "error": self.error() })
    }
}
