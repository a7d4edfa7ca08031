//! The errors of the reference, byte for byte (contract: session-store.md §1.4), as `application/problem+json`.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

/// Its four kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BadRequest,
    NotAuthorized,
    NotFound,
    ServerError,
}

impl Kind {
    fn words(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::BadRequest => (
                StatusCode::BAD_REQUEST,
                "bad_request",
                "Bad request",
                "The request was incorrect or malformed",
            ),
            Self::NotAuthorized => (
                StatusCode::UNAUTHORIZED,
                "not_authorized",
                "Not authorized",
                "Unable to authorize request",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not_found",
                "Not found",
                "The value you requested was not found",
            ),
            Self::ServerError => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                "Internal server error",
                "The server encountered an error with your request",
            ),
        }
    }
}

/// An answer. `path` is the caller's own, decoded.
pub(super) fn answer(kind: Kind, path: &str) -> Response {
    let (status, word, title, detail) = kind.words();
    let body = format!(
        "{{\n  \"type\": \"https://www.mediawiki.org/wiki/Kask/errors/{word}\",\n  \"title\": \"{title}\",\n  \"detail\": \"{detail}\",\n  \"instance\": {}\n}}\n",
        quoted(path)
    );
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A JSON string that no page can take for markup, nor a script for the end of a line.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let mut quoted = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => quoted.push_str("\\u003c"),
            '>' => quoted.push_str("\\u003e"),
            '&' => quoted.push_str("\\u0026"),
            '\u{2028}' => quoted.push_str("\\u2028"),
            '\u{2029}' => quoted.push_str("\\u2029"),
            '\u{fffd}' => quoted.push_str("\\ufffd"),
            other => quoted.push(other),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::{Kind, answer, quoted};

    /// As it was captured from the reference.
    #[tokio::test]
    async fn a_body_is_the_references_byte_for_byte() {
        let answer = answer(Kind::NotFound, "/sessions/v1/foo");
        assert_eq!(answer.status(), 404);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let expected = "{\n  \"type\": \"https://www.mediawiki.org/wiki/Kask/errors/not_found\",\n  \"title\": \"Not found\",\n  \"detail\": \"The value you requested was not found\",\n  \"instance\": \"/sessions/v1/foo\"\n}\n";
        assert_eq!(body, expected);
    }

    #[test]
    fn what_a_caller_wrote_is_quoted_as_the_reference_does() {
        assert_eq!(
            quoted("<a>&é\u{2028}\u{fffd}\"\\"),
            r#""\u003ca\u003e\u0026é\u2028\ufffd\"\\""#
        );
    }
}
