//! The API described: OpenAPI, generated.

use std::sync::LazyLock;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::operations;
use super::router::ApiState;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Reveille: the session store",
        description = "Values under keys, each for a time. A key is everything behind the base path, percent-decoded once. Errors are RFC 9457 problem details."
    ),
    paths(
        get_entry, head_entry, post_entry, put_entry, delete_entry, patch_entry,
        operations::healthz, operations::readyz, operations::metrics,
    ),
    modifiers(&Bearer),
)]
struct Api;

/// Namespaces may ask for a token.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        api.components.get_or_insert_default().add_security_scheme("bearer", bearer);
    }
}

/// Reads an entry. `Cache-Control: max-age` is what is left of its time, `ETag` tells its value from others.
#[utoipa::path(
    get, path = "{base}{key}", tag = "entries", security((), ("bearer" = [])),
    params(("key" = String, Path, description = "Any UTF-8; slashes may be plain or escaped")),
    responses(
        (status = 200, description = "The value", content_type = "application/octet-stream"),
        (status = 304, description = "The value is the one If-None-Match names"),
        (status = 400, description = "A query, or a path that is no key", content_type = "application/problem+json"),
        (status = 401, description = "The namespace asks for a token", content_type = "application/problem+json"),
        (status = 403, description = "The token is for other keys", content_type = "application/problem+json"),
        (status = 404, description = "There is none, or it has ended", content_type = "application/problem+json"),
        (status = 414, description = "The key is too long", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", content_type = "application/problem+json"),
        (status = 500, description = "The store failed", content_type = "application/problem+json"),
        (status = 503, description = "Too much is under way", content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "described here, handled in entries.rs")]
fn get_entry() {}

/// The same without the value.
#[utoipa::path(
    head, path = "{base}{key}", tag = "entries", security((), ("bearer" = [])),
    params(("key" = String, Path, description = "Any UTF-8")),
    responses((status = 200, description = "There is one"), (status = 404, description = "There is none")),
)]
#[expect(dead_code, reason = "described here, handled in entries.rs")]
fn head_entry() {}

/// Writes an entry, durably, in the place of the one there is. `Cache-Control: max-age` shortens its time; `If-Match` and `If-None-Match: *` are
/// conditions.
#[utoipa::path(
    post, path = "{base}{key}", tag = "entries", security((), ("bearer" = [])),
    params(("key" = String, Path, description = "Any UTF-8")),
    request_body(content_type = "application/octet-stream", description = "Any bytes, at least one"),
    responses(
        (status = 201, description = "Written"),
        (status = 400, description = "An empty value, a condition that cannot be read or is not taken here", content_type = "application/problem+json"),
        (status = 412, description = "The condition does not hold", content_type = "application/problem+json"),
        (status = 413, description = "The value is too large", content_type = "application/problem+json"),
        (status = 507, description = "The namespace is full", content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "described here, handled in entries.rs")]
fn post_entry() {}

/// Writes an entry where there is none. With `put = "upsert"` it is the same as POST.
#[utoipa::path(
    put, path = "{base}{key}", tag = "entries", security((), ("bearer" = [])),
    params(("key" = String, Path, description = "Any UTF-8")),
    request_body(content_type = "application/octet-stream", description = "Any bytes, at least one"),
    responses((status = 201, description = "Written"), (status = 412, description = "There is one", content_type = "application/problem+json")),
)]
#[expect(dead_code, reason = "described here, handled in entries.rs")]
fn put_entry() {}

/// Deletes an entry, whether there is one or not. `If-Match` is a condition.
#[utoipa::path(
    delete, path = "{base}{key}", tag = "entries", security((), ("bearer" = [])),
    params(("key" = String, Path, description = "Any UTF-8")),
    responses((status = 204, description = "There is none now"), (status = 412, description = "The condition does not hold", content_type = "application/problem+json")),
)]
#[expect(dead_code, reason = "described here, handled in entries.rs")]
fn delete_entry() {}

/// Lets an entry's time begin anew, and changes nothing else. Without a body.
#[utoipa::path(
    patch, path = "{base}{key}", tag = "entries", security((), ("bearer" = [])),
    params(("key" = String, Path, description = "Any UTF-8")),
    responses((status = 204, description = "It lives on"), (status = 404, description = "There is none", content_type = "application/problem+json")),
)]
#[expect(dead_code, reason = "described here, handled in entries.rs")]
fn patch_entry() {}

static SPEC: LazyLock<String> = LazyLock::new(|| Api::openapi().to_json().unwrap_or_default());

/// The description, where keys stand behind the usual path.
pub fn described() -> String {
    SPEC.replace("{base}", "/sessions/v1/")
}

/// The description, with the base path there is.
pub(super) async fn openapi(State(state): State<ApiState>) -> Response {
    let spec = SPEC.replace("{base}", &state.base_uri);
    ([(header::CONTENT_TYPE, "application/json")], spec).into_response()
}
