//! `/_info` and friends, as the reference service and what is around it expect.

use axum::Json;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use reveille_service::problem::not_found;
use serde_json::{Value, json};

use super::docs;

const NAME: &str = "reveille";
const DESCRIPTION: &str = "Wakes a user's devices and reveals nothing";
const HOME: &str = "/docs";

/// What this is.
pub(super) async fn info() -> Json<Value> {
    Json(
        json!({"name": NAME, "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION, "home": HOME}),
    )
}

/// Its name.
pub(super) async fn name() -> Json<Value> {
    Json(json!({"name": NAME}))
}

/// Its version.
pub(super) async fn version() -> Json<Value> {
    Json(json!({"version": env!("CARGO_PKG_VERSION")}))
}

/// Its home page.
pub(super) async fn home() -> Response {
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, HOME)]).into_response()
}

/// `/?spec` and `/?doc`.
pub(super) async fn root(RawQuery(query): RawQuery) -> Response {
    match query.as_deref() {
        Some("spec") => docs::spec().await.into_response(),
        Some("doc") => docs::page().await.into_response(),
        _ => not_found().into_response(),
    }
}

/// Nothing here is for crawlers.
pub(super) async fn robots() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], "User-agent: *\nDisallow: /\n")
        .into_response()
}
