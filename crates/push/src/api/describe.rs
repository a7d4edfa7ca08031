//! A page that shows an OpenAPI document.

use std::fmt::Write as _;

use serde_json::Value;

const HEAD: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
h2{border-top:1px solid #8886;padding-top:1rem;font-size:1.1rem}code,pre{font:14px/1.4 ui-monospace,monospace}
pre{overflow:auto;padding:.7rem;background:#8882;border-radius:.4rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}th{font-weight:600}</style>"#;

/// A page that needs nothing but itself: no script, no outside asset.
pub(super) fn render(spec: &str) -> String {
    let spec: Value = serde_json::from_str(spec).unwrap_or_default();
    let mut page = String::from(HEAD);
    let title = spec.pointer("/info/title").map(text).unwrap_or_default();
    push(&mut page, format_args!("<title>{title}</title><h1>{title}</h1>"));
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
