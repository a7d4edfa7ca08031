//! Headers that every answer carries.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderValue, header};

/// What a browser must not do with our answers.
pub(super) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'";
    // The console's own are stricter.
    for (name, value) in
        [(header::X_FRAME_OPTIONS, "SAMEORIGIN"), (header::CONTENT_SECURITY_POLICY, policy)]
    {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
