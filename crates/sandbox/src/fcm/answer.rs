//! A request to an answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use reveille_service::text_time;
use serde_json::{Value, json};

use super::message::{self, Violation};
use crate::fault::{Fault, FaultReply};
use crate::oauth;
use crate::received::Received;
use crate::state::State;
use crate::transport::{Answer, Inbound, json_response};

/// Answers one request to the FCM port.
pub(crate) async fn answer(state: &State, inbound: Inbound) -> Answer {
    match (inbound.method.as_str(), inbound.path.as_str()) {
        ("POST", "/token") => Answer::Reply(oauth::token(state, &inbound.body)),
        ("POST", path) => match path
            .strip_prefix("/v1/projects/")
            .and_then(|rest| rest.strip_suffix("/messages:send"))
        {
            Some(project) => send(state, project, &inbound).await,
            None => Answer::Reply(not_found()),
        },
        _ => Answer::Reply(not_found()),
    }
}

async fn send(state: &State, project: &str, inbound: &Inbound) -> Answer {
    let authorization =
        inbound.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !oauth::is_authorized(state, authorization) {
        return Answer::Reply(error(
            StatusCode::UNAUTHORIZED,
            "UNAUTHENTICATED",
            None,
            Value::Null,
        ));
    }
    if !state.accounts.iter().any(|account| account.project_id == project) {
        return Answer::Reply(error(StatusCode::NOT_FOUND, "NOT_FOUND", None, Value::Null));
    }
    let body: Value = match serde_json::from_slice(&inbound.body) {
        Ok(body) => body,
        Err(_) => {
            let what =
                Violation { field: "", description: "Invalid JSON payload received.".to_owned() };
            return Answer::Reply(invalid(&what));
        }
    };
    let message = match message::check(&body) {
        Ok(message) => message,
        Err(what) => return Answer::Reply(invalid(&what)),
    };
    let fault = state.take_fault("fcm", &message.token);
    if let Some(delay_ms) = fault.as_ref().and_then(|fault| fault.delay_ms) {
        state.wait(delay_ms).await;
    }
    let answer = match fault {
        Some(fault) if fault.reply != FaultReply::Success => play(&fault),
        _ => {
            let id = if message.validate_only {
                "fake_message_id".to_owned()
            } else {
                format!("0:{}", oauth::hex(&reveille_service::entropy::rng().bytes_16()))
            };
            let name = format!("projects/{project}/messages/{id}");
            Answer::Reply(json_response(StatusCode::OK, &json!({ "name": name })))
        }
    };
    if matches!(&answer, Answer::Reply(reply) if reply.status() == StatusCode::UNAUTHORIZED) {
        oauth::revoke(state, authorization);
    }
    state.add(Received {
        provider: "fcm",
        token: message.token,
        headers: shown(&inbound.headers),
        payload: body,
        received_at: text_time::format(state.now()),
        answer: answer.word(),
    });
    answer
}

/// The headers without the credential.
fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter(|(name, _)| *name != header::AUTHORIZATION)
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

fn play(fault: &Fault) -> Answer {
    use FaultReply as F;
    let fcm = |status, word, code| error(status, word, Some(code), Value::Null);
    let mut reply = match fault.reply {
        F::Stall => return Answer::Stall,
        F::Reset => return Answer::Reset,
        F::Refused => return Answer::Refused,
        F::Close => return Answer::Close,
        F::Goaway => return Answer::Goaway,
        F::GoawayGraceful => {
            return Answer::GoawayGraceful(json_response(
                StatusCode::OK,
                &json!({"name": "projects/p/messages/0"}),
            ));
        }
        F::Success => json_response(StatusCode::OK, &json!({})),
        F::Unregistered => fcm(StatusCode::NOT_FOUND, "NOT_FOUND", "UNREGISTERED"),
        F::InvalidToken => invalid(&Violation {
            field: "message.token",
            description: "The registration token is not a valid FCM registration token".to_owned(),
        }),
        F::InvalidArgument => invalid(&Violation {
            field: "message.android.ttl",
            description: "Invalid TTL".to_owned(),
        }),
        F::SenderIdMismatch => {
            fcm(StatusCode::FORBIDDEN, "PERMISSION_DENIED", "SENDER_ID_MISMATCH")
        }
        F::Unauthenticated => error(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", None, Value::Null),
        F::ThirdPartyAuthError => {
            fcm(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")
        }
        F::PermissionDenied => error(StatusCode::FORBIDDEN, "PERMISSION_DENIED", None, Value::Null),
        F::NotFound => error(StatusCode::NOT_FOUND, "NOT_FOUND", None, Value::Null),
        F::PayloadTooLarge => {
            error(StatusCode::PAYLOAD_TOO_LARGE, "INVALID_ARGUMENT", None, Value::Null)
        }
        F::Throttled => fcm(StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
        F::DeviceThrottled => {
            let quota = json!({
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"subject": "device", "description": "Device message rate exceeded"}],
            });
            error(
                StatusCode::TOO_MANY_REQUESTS,
                "RESOURCE_EXHAUSTED",
                Some("QUOTA_EXCEEDED"),
                quota,
            )
        }
        F::Internal => fcm(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "INTERNAL"),
        F::Unavailable => fcm(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "UNAVAILABLE"),
        F::BadGateway => html(StatusCode::BAD_GATEWAY),
        F::GatewayTimeout => html(StatusCode::GATEWAY_TIMEOUT),
        F::Unknown => html(StatusCode::IM_A_TEAPOT),
    };
    if let Some(seconds) = fault.retry_after_s {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Answer::Reply(reply)
}

/// An error as FCM writes it.
fn error(status: StatusCode, word: &str, code: Option<&str>, detail: Value) -> Response<Bytes> {
    let mut details = Vec::new();
    if let Some(code) = code {
        details.push(json!({
            "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code,
        }));
    }
    if !detail.is_null() {
        details.push(detail);
    }
    let body = json!({"error": {
        "code": status.as_u16(), "message": "The sandbox says so.", "status": word, "details": details,
    }});
    json_response(status, &body)
}

fn invalid(what: &Violation) -> Response<Bytes> {
    let body = json!({"error": {
        "code": 400, "message": what.description, "status": "INVALID_ARGUMENT", "details": [
            {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "INVALID_ARGUMENT"},
            {"@type": "type.googleapis.com/google.rpc.BadRequest",
             "fieldViolations": [{"field": what.field, "description": what.description}]},
        ],
    }});
    json_response(StatusCode::BAD_REQUEST, &body)
}

fn not_found() -> Response<Bytes> {
    html(StatusCode::NOT_FOUND)
}

fn html(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"<!DOCTYPE html><title>Error</title>"));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}
