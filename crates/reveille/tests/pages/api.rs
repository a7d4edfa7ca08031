//! `docs/reference/api.md`, from the documents of the three APIs.

use std::fmt::Write as _;

use reveille_testkit::is_written;
use serde_json::Value;

use super::page;

const OPENING: &str = "# Routes

Written from the code (`cargo xtask docs`): every route of the three APIs, what it takes and what it answers. The same documents are at `/openapi.json` of each
listener, with the shapes of bodies; the push server shows its two at `/docs`, the private API on `push.intake.listen`, the public one on
`push.public.listen`. What the statuses in the 4xx and 5xx mean is in [errors.md](errors.md). Beside the public API stands `/w/api.php`
([mediawiki.md](../mediawiki.md)).
";
/// What can be asked of a path, in the order in which it is shown.
const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

#[test]
fn the_list_of_routes_is_what_the_documents_say() {
    let mut text = OPENING.to_owned();
    let documents = [
        ("The private API", reveille_push::intake_openapi().to_owned()),
        ("The public API", reveille_push::public_openapi().to_owned()),
        ("The session store", reveille_sessions::openapi()),
    ];
    for (title, document) in documents {
        let document: Value = serde_json::from_str(&document).unwrap();
        write!(text, "\n## {title}\n\n{}\n", words(&document["info"]["description"])).unwrap();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in METHODS {
                if let Some(operation) = operations.get(method) {
                    text += &shown(method, path, operation);
                }
            }
        }
    }
    is_written(&page("api.md"), &text);
}

/// One route.
fn shown(method: &str, path: &str, operation: &Value) -> String {
    let mut text = format!("\n### `{} {path}`\n", method.to_uppercase());
    for part in ["summary", "description"] {
        if operation[part].is_string() {
            write!(text, "\n{}\n", words(&operation[part])).unwrap();
        }
    }
    if operation["requestBody"].is_object() {
        write!(text, "\nBody: {}.\n", body(&operation["requestBody"])).unwrap();
    }
    if let Some(parameters) = operation["parameters"].as_array() {
        text += "\n| parameter | in | what |\n|---|---|---|\n";
        for each in parameters {
            let (name, place) = (words(&each["name"]), words(&each["in"]));
            writeln!(text, "| `{name}` | {place} | {} |", cell(&each["description"])).unwrap();
        }
    }
    text += "\n| status | when |\n|---|---|\n";
    for (status, answer) in operation["responses"].as_object().unwrap() {
        writeln!(text, "| {status} | {} |", cell(&answer["description"])).unwrap();
    }
    text
}

/// What a body may be: a shape by its name, or a kind of content.
fn body(body: &Value) -> String {
    let kinds = body["content"].as_object().unwrap();
    let kinds = kinds.iter().map(|(kind, content)| {
        let shape = words(&content["schema"]["$ref"]);
        match shape.rsplit('/').next() {
            Some(shape) if !shape.is_empty() => format!("`{shape}` (`{kind}`)"),
            _ => format!("`{kind}`"),
        }
    });
    kinds.collect::<Vec<_>>().join(" or ")
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().trim().to_owned()
}

/// In one line of a table.
fn cell(value: &Value) -> String {
    words(value).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
