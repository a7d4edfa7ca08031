//! The golden signals of every route: traffic, errors, latency, saturation. By route pattern, never by raw path.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use metrics::{counter, gauge, histogram};

use crate::clock::Stopwatch;

/// Requests by route, method and status.
pub const REQUESTS: &str = "reveille_http_requests_total";
/// How long answers took, in seconds, by route and method.
pub const DURATION: &str = "reveille_http_request_duration_seconds";
/// Requests under way.
pub const IN_FLIGHT: &str = "reveille_http_requests_in_flight";

/// Middleware that counts and times requests.
pub async fn measure(request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let method = method_label(request.method());
    let watch = Stopwatch::start();
    let in_flight = InFlight::begin();
    let response = next.run(request).await;
    drop(in_flight);
    histogram!(DURATION, "route" => route.clone(), "method" => method).record(watch.seconds());
    let status = response.status().as_u16().to_string();
    counter!(REQUESTS, "route" => route, "method" => method, "status" => status).increment(1);
    response
}

/// Counts a request as under way until it is answered or its caller goes away.
#[derive(Debug)]
pub struct InFlight(());

impl InFlight {
    /// It has begun.
    pub fn begin() -> Self {
        gauge!(IN_FLIGHT).increment(1);
        Self(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(IN_FLIGHT).decrement(1);
    }
}

/// Callers choose methods, so that only known ones become labels.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
