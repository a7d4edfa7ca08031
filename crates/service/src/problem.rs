//! Problem details (RFC 9457): every native error of every server.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

/// An error a caller sees. Its words are fixed or its own; nothing of a token, user or body is ever put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    word: &'static str,
    title: &'static str,
    detail: String,
    retry_after_s: Option<u32>,
    more: Map<String, Value>,
}

impl Problem {
    /// A problem of a stable kind: its `type` is `urn:reveille:problem:<word>`.
    pub fn new(status: StatusCode, word: &'static str, title: &'static str) -> Self {
        Self { status, word, title, detail: String::new(), retry_after_s: None, more: Map::new() }
    }

    /// Says what is wrong in this case and what to do.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Says when to try again (`Retry-After`, seconds).
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: Value) -> Self {
        self.more.insert(member.to_owned(), value);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, without how to say it over HTTP.
    pub fn words(&self) -> String {
        if self.detail.is_empty() { self.title.to_owned() } else { self.detail.clone() }
    }

    /// The kind's word.
    pub fn word(&self) -> &'static str {
        self.word
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("urn:reveille:problem:{}", self.word).into());
        body.insert("title".to_owned(), self.title.into());
        body.insert("status".to_owned(), self.status.as_u16().into());
        if !self.detail.is_empty() {
            body.insert("detail".to_owned(), self.detail.into());
        }
        body.extend(self.more);
        let body = Value::Object(body).to_string();
        let mut response = (self.status, body).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// No such route.
pub fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here")
        .detail("the routes are listed at /docs and in /openapi.json")
}

/// The route exists, the method does not.
pub fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This method is not allowed here",
    )
    .detail("the header Allow names those that are")
}
