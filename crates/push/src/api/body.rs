//! Reading request bodies: JSON, and what is said when it does not fit.
//!
//! The parser's own words are never passed on: they repeat the input, and the input holds tokens.

use aws_lc_rs::hmac;
use http::{HeaderMap, header};
use reveille_model::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use reveille_service::auth::Caller;
use reveille_store::Idempotency;
use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;

use super::error::ApiError;

/// One field of a body, for saying what is wrong with it.
pub(in crate::api) struct Field {
    pub(in crate::api) name: &'static str,
    pub(in crate::api) expected: &'static str,
    pub(in crate::api) is_required: bool,
    pub(in crate::api) fits: fn(&Value) -> bool,
}

/// The media types a body may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Media {
    Json,
    NdJson,
}

/// What the body says it is. Without a type it is taken for JSON.
pub(in crate::api) fn media(headers: &HeaderMap) -> Result<Media, ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Media::Json) };
    let text = value.to_str().map_err(|_| ApiError::ContentType)?;
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" | "text/json" => Ok(Media::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Media::NdJson),
        other if other.ends_with("+json") => Ok(Media::Json),
        _ => Err(ApiError::ContentType),
    }
}

/// Parses a body. Only where that fails is it parsed a second time, field by field, to say what is wrong.
pub(in crate::api) fn parse<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    fields: &[Field],
) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => malformed(&error),
        Category::Data => match serde_json::from_slice::<Value>(body) {
            Ok(value) => ApiError::InvalidBody(describe(&value, fields)),
            Err(error) => malformed(&error),
        },
    })
}

pub(in crate::api) fn malformed(error: &serde_json::Error) -> ApiError {
    ApiError::MalformedJson { line: error.line(), column: error.column() }
}

/// What is wrong with a body that is JSON.
pub(in crate::api) fn describe(value: &Value, fields: &[Field]) -> String {
    let Some(object) = value.as_object() else { return "it must be a JSON object".to_owned() };
    for field in fields {
        match object.get(field.name) {
            None if field.is_required => {
                return format!("`{}` is missing; it is {}", field.name, field.expected);
            }
            Some(value) if !(field.fits)(value) => {
                return format!("`{}` must be {}", field.name, field.expected);
            }
            _ => {}
        }
    }
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    format!("it has a member that is not known; the members are {}", names.join(", "))
}

pub(in crate::api) fn is_text(value: &Value) -> bool {
    value.is_string() || value.is_null()
}

pub(in crate::api) fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|each| each.iter().all(Value::is_string))
}

pub(in crate::api) fn is_flag(value: &Value) -> bool {
    value.is_boolean() || value.is_null()
}

/// The `Idempotency-Key` of a request as keyed hashes: of caller, route and key, and of the body.
pub(in crate::api) fn idempotency(
    key: &hmac::Key,
    headers: &HeaderMap,
    (caller, route): (Caller, &str),
    body: &[u8],
) -> Result<Option<Idempotency>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().map_err(|_| ApiError::InvalidIdempotencyKey)?;
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if !fits {
        return Err(ApiError::InvalidIdempotencyKey);
    }
    let mut of_key = hmac::Context::with_key(key);
    for part in [b"key\0".as_slice(), &caller.0, route.as_bytes(), b"\0", text.as_bytes()] {
        of_key.update(part);
    }
    let mut of_body = hmac::Context::with_key(key);
    of_body.update(b"body\0");
    of_body.update(body);
    Ok(Some(Idempotency { key: bytes_32(&of_key.sign()), body: bytes_32(&of_body.sign()) }))
}

fn bytes_32(tag: &hmac::Tag) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().zip(tag.as_ref()) {
        *place = *byte;
    }
    bytes
}
