//! The API described: OpenAPI generated from the handlers, and a page that shows it.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use http::header;
use serde_json::Value;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{message, notifications, operations, quarantine, subscriptions, trail};

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
        quarantine::list,
        quarantine::release,
        quarantine::drop_devices,
        operations::healthz,
        operations::readyz,
        operations::metrics,
    ),
    modifiers(&Bearer),
    components(schemas(
        message::MessageRequest,
        notifications::NotificationRequest,
        trail::TrailResponse,
        subscriptions::SubscriptionRequest,
        subscriptions::SubscriptionChange,
        subscriptions::SubscriptionResponse,
        subscriptions::DeletedResponse,
        quarantine::QuarantineResponse,
        quarantine::QuarantinedResponse,
        quarantine::WhichRequest,
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

const HEAD: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Reveille: the private API</title>
<meta name="viewport" content="width=device-width"><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
h2{border-top:1px solid #8886;padding-top:1rem;font-size:1.1rem}code,pre{font:14px/1.4 ui-monospace,monospace}
pre{overflow:auto;padding:.7rem;background:#8882;border-radius:.4rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}th{font-weight:600}</style>"#;

/// A page that needs nothing but itself: no script, no outside asset.
fn render(spec: &str) -> String {
    let spec: Value = serde_json::from_str(spec).unwrap_or_default();
    let mut page = String::from(HEAD);
    page.push_str("<h1>Reveille: the private API</h1>");
    paragraph(&mut page, spec.pointer("/info/description"));
    page.push_str("<p>The same as data: <a href=\"/openapi.json\">/openapi.json</a>.</p>");
    for (path, methods) in spec.get("paths").and_then(Value::as_object).into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            render_operation(&mut page, &method.to_uppercase(), path, operation);
            render_request(&mut page, operation, &spec);
            render_responses(&mut page, operation);
        }
    }
    page.push_str("</html>");
    page
}

fn render_operation(page: &mut String, method: &str, path: &str, operation: &Value) {
    push(
        page,
        format_args!(
            "<h2 id=\"{}\"><code>{method} {}</code></h2>",
            text(&operation["operationId"]),
            escape(path)
        ),
    );
    paragraph(page, operation.get("summary"));
    paragraph(page, operation.get("description"));
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    if !parameters.is_empty() {
        page.push_str("<table>");
        for parameter in parameters {
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            let what = text(&parameter["description"]);
            push(page, format_args!("<tr><th><code>{name}</code><td>{place}<td>{what}"));
        }
        page.push_str("</table>");
    }
}

fn render_request(page: &mut String, operation: &Value, spec: &Value) {
    let reference = operation
        .pointer("/requestBody/content/application~1json/schema/$ref")
        .and_then(Value::as_str);
    let Some(schema) = reference.and_then(|name| spec.pointer(name.trim_start_matches('#'))) else {
        return;
    };
    let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    page.push_str("<p>Body (JSON):</p><table>");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let needed = if required.contains(&Value::from(name.as_str())) { "required" } else { "" };
        let what = text(&property["description"]);
        push(page, format_args!("<tr><th><code>{}</code><td>{needed}<td>{what}", escape(name)));
    }
    page.push_str("</table>");
}

fn render_responses(page: &mut String, operation: &Value) {
    page.push_str("<p>Answers:</p><table>");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let what = text(&response["description"]);
        push(page, format_args!("<tr><th>{}<td>{what}", escape(status)));
    }
    page.push_str("</table>");
}

fn paragraph(page: &mut String, value: Option<&Value>) {
    if let Some(value) = value.filter(|value| value.is_string()) {
        push(page, format_args!("<p>{}</p>", text(value)));
    }
}

fn push(page: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    page.write_fmt(what).expect("a text takes everything");
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
