//! Load over HTTP, as a host application sends it.

use std::fmt::Write as _;
use std::sync::Arc;

use uuid::Uuid;

use super::measure::{Names, Work};

/// One connection that sends usage.
pub(super) struct Sender {
    pub(super) client: reqwest::Client,
    pub(super) url: Arc<str>,
    pub(super) key: Arc<str>,
    pub(super) metric: Arc<str>,
    pub(super) tenants: Arc<[Uuid]>,
    pub(super) names: Names,
    /// Events of a request; 1 is sent as a single event.
    pub(super) batch: usize,
    /// The tenant of the last event, for the one that repeats it.
    pub(super) last: usize,
}

impl Sender {
    /// The next event: tenant and key.
    fn next(&mut self) -> (Uuid, String) {
        let key = self.names.key();
        if !self.names.is_repetition() {
            self.last = self.names.pick(self.tenants.len());
        }
        (self.tenants.get(self.last).copied().unwrap_or_default(), key)
    }

    fn request(&mut self) -> reqwest::RequestBuilder {
        let post = self.client.post(&*self.url).bearer_auth(&self.key).header("content-type", "application/json");
        if self.batch == 1 {
            let (tenant, key) = self.next();
            let body = format!(r#"{{"metric":"{}","amount":"1","idempotencyKey":"{key}"}}"#, self.metric);
            return post.header("x-tenant-id", tenant.to_string()).body(body);
        }
        let mut body = String::from(r#"{"events":["#);
        for index in 0..self.batch {
            let (tenant, key) = self.next();
            let comma = if index == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(
                body,
                r#"{comma}{{"tenantId":"{tenant}","metric":"{}","amount":"1","idempotencyKey":"{key}"}}"#,
                self.metric
            );
        }
        body.push_str("]}");
        post.body(body)
    }
}

impl Work for Sender {
    async fn once(&mut self) -> Option<u64> {
        let response = self.request().send().await.ok()?;
        let is_success = response.status().is_success();
        let body = response.bytes().await.ok()?;
        // A batch is answered 200 whatever became of its events.
        let is_whole = self.batch == 1 || {
            let answer: serde_json::Value = serde_json::from_slice(&body).ok()?;
            ["rejected", "conflict", "invalid"].iter().all(|count| answer[count] == 0)
        };
        (is_success && is_whole).then_some(self.batch as u64)
    }
}
