//! The public API described: OpenAPI generated from the handlers, and a page that shows it.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use http::header;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::super::describe::render;
use super::super::devices::{
    ChangeRequest, DeletedResponse, SubscriptionRequest, SubscriptionResponse, VerifyRequest,
};
use super::{inbox, logged_out, preferences, subscriptions};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Reveille: the public API",
        description = "For devices and browsers, each acting for the user it is logged in as. Errors are RFC 9457 problem details with a stable `type`. Beside it, `/w/api.php` answers apps that know a MediaWiki with Echo as that does."
    ),
    paths(
        subscriptions::post_subscription,
        subscriptions::list_subscriptions,
        subscriptions::delete_subscriptions,
        subscriptions::get_subscription,
        subscriptions::patch_subscription,
        subscriptions::delete_subscription,
        subscriptions::verify_subscription,
        preferences::get_preferences,
        preferences::put_preferences,
        inbox::get_inbox,
        inbox::post_read,
        logged_out::webpush_key,
        logged_out::post_anonymous,
    ),
    modifiers(&LoggedIn),
    components(schemas(
        SubscriptionRequest,
        ChangeRequest,
        SubscriptionResponse,
        DeletedResponse,
        VerifyRequest,
        preferences::PreferencesRequest,
        preferences::PreferencesResponse,
        inbox::PageResponse,
        inbox::ItemResponse,
        inbox::ReadRequest,
        logged_out::KeyResponse,
        logged_out::AnonymousResponse,
    ))
)]
struct Api;

/// People show what `push.public.auth` asks for; in every mode but `header` that may be a bearer token.
struct LoggedIn;

impl Modify for LoggedIn {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("bearer", scheme);
        openapi.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("bearer", [])]);
    }
}

static SPEC: LazyLock<String> = LazyLock::new(|| {
    Api::openapi().to_pretty_json().expect("the document is made of texts and lists")
});
static PAGE: LazyLock<String> = LazyLock::new(|| render(&SPEC));

/// The OpenAPI document, as JSON.
pub fn openapi() -> &'static str {
    &SPEC
}

/// `/openapi.json`.
pub(super) async fn spec() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi()).into_response()
}

/// `/docs`.
pub(super) async fn page() -> Html<&'static str> {
    Html(&PAGE)
}
