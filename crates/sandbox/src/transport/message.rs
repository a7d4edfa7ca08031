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
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What is done about a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Response<Bytes>),
    Stall,
    Reset,
    Refused,
    Close,
    Goaway,
    GoawayGraceful(Response<Bytes>),
}

impl Answer {
    /// A word for it: the status, or what was done instead.
    pub(crate) fn word(&self) -> String {
        match self {
            Self::Reply(reply) | Self::GoawayGraceful(reply) => reply.status().as_u16().to_string(),
            Self::Stall => "stall".to_owned(),
            Self::Reset => "reset".to_owned(),
            Self::Refused => "refused".to_owned(),
            Self::Close => "close".to_owned(),
            Self::Goaway => "goaway".to_owned(),
        }
    }
}

pub(crate) fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
