//! `X-Request-Id` is echoed, so that callers can match answers, and goes no further: it names the edit that caused an event, so it must
//! never stand beside a user or token.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderName;
use reveille_model::limits::REQUEST_ID_BYTES_MAX;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware that copies the header from request to response.
pub async fn echo(request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(REQUEST_ID)
        .filter(|id| id.len() <= REQUEST_ID_BYTES_MAX && id.to_str().is_ok())
        .cloned();
    let mut response = next.run(request).await;
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
