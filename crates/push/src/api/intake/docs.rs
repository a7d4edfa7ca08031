//! The private API described: OpenAPI generated from the handlers, and a page that shows it.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use http::header;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::super::describe::render;
use super::super::devices::{
    ChangeRequest, DeletedResponse, SubscriptionRequest, SubscriptionResponse,
};
use super::{
    halting, importing, message, notifications, operations, quarantine, subscriptions, trail, users,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Reveille: the private API",
        description = "For callers inside the cluster. Errors are RFC 9457 problem details with a stable `type`."
    ),
    paths(
        message::post_message,
        notifications::post_notifications,
        trail::get_notification,
        trail::delete_notification,
        subscriptions::post_subscription,
        subscriptions::list_subscriptions,
        subscriptions::delete_subscriptions,
        subscriptions::get_subscription,
        subscriptions::patch_subscription,
        subscriptions::delete_subscription,
        importing::post_import,
        users::fetched,
        users::erase,
        quarantine::list,
        quarantine::release,
        quarantine::drop_devices,
        halting::get_pause,
        halting::post_pause,
        halting::post_resume,
        operations::healthz,
        operations::readyz,
        operations::metrics,
    ),
    modifiers(&Bearer),
    components(schemas(
        message::MessageRequest,
        notifications::NotificationRequest,
        trail::TrailResponse,
        SubscriptionRequest,
        ChangeRequest,
        SubscriptionResponse,
        DeletedResponse,
        importing::ImportRequest,
        importing::ImportResponse,
        importing::ImportResult,
        users::FetchedResponse,
        quarantine::QuarantineResponse,
        quarantine::QuarantinedResponse,
        quarantine::WhichRequest,
        halting::HaltRequest,
        halting::HaltedResponse,
    ))
)]
struct Api;

/// Callers show a bearer token where `push.intake.tokens_file` is set.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("bearer", scheme);
        let needed = SecurityRequirement::new::<_, [&str; 0], &str>("bearer", []);
        // Either: without tokens the network is trusted.
        openapi.security = Some(vec![SecurityRequirement::default(), needed]);
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

#[cfg(test)]
mod tests {
    use super::{PAGE, SPEC};

    #[test]
    fn the_document_and_the_page_name_every_operation() {
        let spec: serde_json::Value = serde_json::from_str(&SPEC).unwrap();
        assert!(spec["openapi"].as_str().unwrap().starts_with("3.1"));
        for operation in [
            "post_message",
            "post_notifications",
            "get_notification",
            "delete_notification",
            "post_subscription",
            "list_subscriptions",
            "drop_devices",
            "healthz",
            "readyz",
            "metrics",
        ] {
            assert!(SPEC.contains(operation), "{operation} is missing in the document");
            assert!(
                PAGE.contains(&format!("id=\"{operation}\"")),
                "{operation} is missing on the page"
            );
        }
        assert!(PAGE.contains("deviceTokens") && PAGE.contains("/v1/events/"));
        assert_eq!(spec["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    }
}
