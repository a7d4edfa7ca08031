//! A request read whole, and what is done about it.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::Value;

/// Largest body that is read, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// A request.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) method: Method,
    /// The host and port it was sent to, as the client wrote them.
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Inbound {
    /// From a request's head, and the body that was read.
    pub(super) fn new(head: http::request::Parts, body: Bytes) -> Self {
        let host = || head.headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let authority = head.uri.authority().map(http::uri::Authority::as_str).or_else(host);
        Self {
            authority: authority.unwrap_or_default().to_owned(),
            path: head.uri.path().to_owned(),
            method: head.method,
            headers: head.headers,
            body,
        }
    }

    /// A header as text; nothing where it is absent or not text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What is done about a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Response<Bytes>),
    /// A status below 200, which announces an answer that never comes.
    Interim(StatusCode),
    Stall,
    Reset,
    Refused,
    Close,
    /// With what the debug data says, if anything.
    Goaway(Option<String>),
    /// The same, and the answer to this request.
    GoawayGraceful(Option<String>, Response<Bytes>),
}

impl Answer {
    /// A word for it: the status, or what was done instead.
    pub(crate) fn word(&self) -> String {
        match self {
            Self::Reply(reply) | Self::GoawayGraceful(_, reply) => {
                reply.status().as_u16().to_string()
            }
            Self::Interim(status) => status.as_u16().to_string(),
            Self::Stall => "stall".to_owned(),
            Self::Reset => "reset".to_owned(),
            Self::Refused => "refused".to_owned(),
            Self::Close => "close".to_owned(),
            Self::Goaway(_) => "goaway".to_owned(),
        }
    }
}

/// An answer with a body of some type; without a type where the body is empty.
pub(crate) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    if !response.body().is_empty() {
        let content_type = HeaderValue::from_static(content_type);
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response
}

pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    response(status, "application/json; charset=UTF-8", body.to_string())
}

/// What a proxy before a provider answers when that does not.
pub(crate) fn html(status: StatusCode) -> Response<Bytes> {
    response(status, "text/html; charset=UTF-8", "<!DOCTYPE html><title>Error</title>")
}
