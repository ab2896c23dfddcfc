//! The connection to Stripe: one request, as many attempts as it takes within reason.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::list::{List, Pages};
use crate::retry::{Advice, Pauses};
use crate::{Delete, FromJson, Get, IdempotencyKey, Object, Post, ReadError, Request, StripeError, Verb as _, form};

/// The version of Stripe's API that every request names, whatever the account's default is.
pub const API_VERSION: &str = "2025-08-27.basil";
/// Bytes that an answer may have.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// What stays as it is in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Chance for the pauses between attempts: any number, a new one each time.
pub type Jitter = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How Stripe is reached.
#[derive(Clone)]
pub struct ClientSettings {
    /// Where the API is: `https://api.stripe.com`, or a stand-in's address.
    pub base_url: String,
    /// The secret or restricted key.
    pub secret_key: SecretString,
    /// How long one attempt may take, its answer included.
    pub timeout: Duration,
    /// How often a request is sent at most.
    pub attempts: u32,
    /// The pause behind the first attempt; it doubles with each one.
    pub first_pause: Duration,
    /// The longest pause, also where `Retry-After` asks for one.
    pub longest_pause: Duration,
    /// Chance for the pauses.
    pub jitter: Jitter,
}

impl ClientSettings {
    /// Usual settings: 30 s for each of 3 attempts, pauses from half a second to 8 seconds.
    pub fn new(base_url: impl Into<String>, secret_key: SecretString, jitter: Jitter) -> Self {
        Self {
            base_url: base_url.into(),
            secret_key,
            timeout: Duration::from_secs(30),
            attempts: 3,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(8),
            jitter,
        }
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("base_url", &self.base_url)
            .field("timeout", &self.timeout)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Settings that make no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("the address of Stripe's API must be like https://api.stripe.com, without user, query or fragment")]
    BaseUrl,
    /// A live key would travel in the clear.
    #[error("a live key goes to an https address only")]
    LiveKeyInTheClear,
    /// The key cannot be one.
    #[error("the secret key must be visible ASCII characters, such as sk_test_…")]
    SecretKey,
    /// No attempt at all.
    #[error("there must be at least one attempt")]
    Attempts,
    /// The HTTP client could not be made.
    #[error("the HTTP client cannot be made: {0}")]
    Http(#[from] reqwest::Error),
}

struct Inner {
    http: reqwest::Client,
    base: Url,
    settings: ClientSettings,
}

/// A client of Stripe's API. Clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.settings).finish()
    }
}

impl Client {
    /// A client with these settings. The process must have installed a provider of cryptography for TLS.
    pub fn new(settings: ClientSettings) -> Result<Self, ClientError> {
        let base = base_url(&settings)?;
        let key = settings.secret_key.expose_secret();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::SecretKey);
        }
        if settings.attempts == 0 {
            return Err(ClientError::Attempts);
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| ClientError::SecretKey)?;
        authorization.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(reqwest::header::AUTHORIZATION, authorization);
        headers.insert("stripe-version", HeaderValue::from_static(API_VERSION));
        let http = reqwest::Client::builder()
            .user_agent(concat!("tenantry/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self(Arc::new(Inner { http, base, settings })))
    }

    /// Reads.
    pub async fn get<R: Request<Verb = Get>>(&self, request: &R) -> Result<R::Answer, StripeError> {
        let call = Prepared::new(request)?;
        self.send(&call, None).await
    }

    /// Makes or changes. The key is the caller's own operation id, stored before the call; every attempt carries it.
    pub async fn post<R: Request<Verb = Post>>(
        &self,
        request: &R,
        key: &IdempotencyKey,
    ) -> Result<R::Answer, StripeError> {
        let call = Prepared::new(request)?;
        self.send(&call, Some(key)).await
    }

    /// Ends or deletes. Where an attempt was lost and a later one says that the thing is missing, it is gone.
    pub async fn delete<R: Request<Verb = Delete>>(&self, request: &R) -> Result<R::Answer, StripeError> {
        let call = Prepared::new(request)?;
        self.send(&call, None).await
    }

    /// The pages of a list, from where the request starts to the end.
    pub fn pages<T: Object, R>(&self, request: &R) -> Result<Pages<T>, StripeError>
    where
        R: Request<Verb = Get, Answer = List<T>>,
    {
        Pages::new(self, request)
    }

    /// All objects of a list. For lists whose length is bounded by what they are of; else take [`Client::pages`].
    pub async fn all<T: Object + Send, R>(&self, request: &R) -> Result<Vec<T>, StripeError>
    where
        R: Request<Verb = Get, Answer = List<T>>,
    {
        let mut pages = self.pages(request)?;
        let mut all = Vec::new();
        while let Some(page) = pages.next().await? {
            all.extend(page);
        }
        Ok(all)
    }

    /// Sends a call until it is answered, cannot be answered, or was tried often enough.
    pub(crate) async fn send<T: FromJson>(
        &self,
        call: &Prepared,
        key: Option<&IdempotencyKey>,
    ) -> Result<T, StripeError> {
        let settings = &self.0.settings;
        let pauses = Pauses { first: settings.first_pause, longest: settings.longest_pause };
        let mut attempt = 1;
        loop {
            let (error, retry_after) = match self.attempt(call, key, attempt).await {
                Ok(answer) => return answer.read(),
                Err(Attempt::Failed(error)) => return Err(error),
                Err(Attempt::MayRetry(error)) => {
                    let retry_after = error.retry_after();
                    (error, retry_after)
                }
            };
            let pause = pauses.after(attempt, (settings.jitter)(), retry_after);
            let Some(pause) = pause.filter(|_| attempt < settings.attempts) else { return Err(error) };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, call: &Prepared, key: Option<&IdempotencyKey>, attempt: u32) -> Result<Answer, Attempt> {
        let response = self.request(call, key).send().await;
        let (mut response, status) = match response {
            Ok(response) => {
                let status = response.status();
                (response, status)
            }
            Err(error) => {
                let error = StripeError::unreachable(error, None, None);
                tracing::debug!(method = %call.method, path = call.path, attempt, %error, "no answer from Stripe");
                return Err(Attempt::MayRetry(error));
            }
        };
        let request_id = response.headers().get("request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let replayed = response.headers().contains_key("idempotent-replayed");
        tracing::debug!(
            method = %call.method, path = call.path, status = status.as_u16(), request_id, attempt, replayed,
            "answer from Stripe",
        );
        let advice = Advice::of(response.headers());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => {
                    let error = StripeError::unreachable(error, Some(status), request_id);
                    tracing::debug!(method = %call.method, path = call.path, attempt, %error, "answer cut short");
                    return Err(Attempt::MayRetry(error));
                }
            }
            if body.len() > MOST_BYTES {
                let too_long = ReadError::new("within the size that is read");
                return Err(Attempt::Failed(StripeError::unreadable(status, request_id, &too_long)));
            }
        }
        if status.is_success() {
            return Ok(Answer { status, request_id, body });
        }
        let secret = self.0.settings.secret_key.expose_secret();
        let error =
            StripeError::refused(status, request_id, advice, &body, |text| text.replace(secret, "(the secret key)"));
        Err(if advice.may_retry(status) { Attempt::MayRetry(error) } else { Attempt::Failed(error) })
    }

    fn request(&self, call: &Prepared, key: Option<&IdempotencyKey>) -> reqwest::RequestBuilder {
        let mut url = self.0.base.clone();
        url.set_path(&format!("{}{}", url.path().trim_end_matches('/'), call.filled));
        let form = form::to_text(&call.parameters);
        if call.method != Method::POST && !form.is_empty() {
            url.set_query(Some(&form));
        }
        let mut request = self.0.http.request(call.method.clone(), url);
        if let Some(key) = key {
            request = request.header("idempotency-key", key.as_str());
        }
        if call.method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        }
        request
    }
}

/// How an attempt ended that brought no answer.
enum Attempt {
    MayRetry(StripeError),
    Failed(StripeError),
}

struct Answer {
    status: StatusCode,
    request_id: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    fn read<T: FromJson>(self) -> Result<T, StripeError> {
        let read = serde_json::from_slice::<Value>(&self.body).map_err(|_| ReadError::new("JSON"));
        read.and_then(|value| T::from_json(&value))
            .map_err(|error| StripeError::unreadable(self.status, self.request_id, &error))
    }
}

/// A request, ready to be sent again and again.
#[derive(Debug)]
pub(crate) struct Prepared {
    method: Method,
    /// The path with its names, for logs.
    path: &'static str,
    /// The path with the ids.
    filled: String,
    parameters: Vec<(String, String)>,
}

impl Prepared {
    pub(crate) fn new<R: Request>(request: &R) -> Result<Self, StripeError> {
        let parameters = form::encode(request).map_err(|error| StripeError::unsendable(R::PATH, &error))?;
        Ok(Self { method: R::Verb::METHOD, path: R::PATH, filled: fill(R::PATH, &request.ids())?, parameters })
    }

    /// Gives a parameter another value.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.parameters.retain(|(known, _)| known != name);
        self.parameters.push((name.to_owned(), value.to_owned()));
    }
}

/// A path with ids in the places of its names. An id cannot become more than one segment.
fn fill(path: &'static str, ids: &[&str]) -> Result<String, StripeError> {
    let mut ids = ids.iter();
    let mut filled = String::new();
    for segment in path.split('/').skip(1) {
        filled.push('/');
        if segment.starts_with('{') {
            let id = ids.next().copied().unwrap_or_default();
            if ["", ".", ".."].contains(&id) {
                let reason = format!("{segment} is {id:?}, which is no id");
                return Err(StripeError::Unsendable { path, reason });
            }
            filled.extend(utf8_percent_encode(id, SEGMENT));
        } else {
            filled.push_str(segment);
        }
    }
    Ok(filled)
}

fn base_url(settings: &ClientSettings) -> Result<Url, ClientError> {
    let url = Url::parse(&settings.base_url).map_err(|_| ClientError::BaseUrl)?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() || !plain {
        return Err(ClientError::BaseUrl);
    }
    let key = settings.secret_key.expose_secret();
    if url.scheme() == "http" && (key.starts_with("sk_live_") || key.starts_with("rk_live_")) {
        return Err(ClientError::LiveKeyInTheClear);
    }
    Ok(url)
}
