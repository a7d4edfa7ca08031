//! A request to an answer.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use reveille_model::Provider;
use serde_json::{Value, json};

use super::message::{self, Violation};
use crate::delivery::{Manner, Push, deliver};
use crate::fault::{Fault, FaultReply};
use crate::identifiers::fresh;
use crate::oauth;
use crate::state::State;
use crate::transport::{Answer, Inbound, html, json_response};

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
    let authorization = inbound.header(header::AUTHORIZATION.as_str());
    let (push, manner) = match check(state, project, authorization, &inbound.body) {
        Ok(push) => push,
        Err(refusal) => {
            state.log().refuse(Provider::Fcm, refusal.word());
            return Answer::Reply(refusal.answer());
        }
    };
    let answer = deliver(state, inbound, push, &manner).await;
    if matches!(&answer, Answer::Reply(reply) if reply.status() == StatusCode::UNAUTHORIZED) {
        oauth::revoke(state, authorization);
    }
    answer
}

/// Why a request is no push.
enum Refusal {
    Unauthenticated,
    NotFound,
    Invalid(Violation),
}

impl Refusal {
    fn word(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::NotFound => "NOT_FOUND",
            Self::Invalid(_) => "INVALID_ARGUMENT",
        }
    }

    fn answer(&self) -> Response<Bytes> {
        match self {
            Self::Unauthenticated => {
                error(StatusCode::UNAUTHORIZED, self.word(), None, Value::Null)
            }
            Self::NotFound => error(StatusCode::NOT_FOUND, self.word(), None, Value::Null),
            Self::Invalid(what) => invalid(what),
        }
    }
}

/// Whether a request is in order.
fn check<'a>(
    state: &State,
    project: &'a str,
    authorization: Option<&str>,
    body: &[u8],
) -> Result<(Push, Fcm<'a>), Refusal> {
    if !oauth::is_authorized(state, authorization) {
        return Err(Refusal::Unauthenticated);
    }
    if !state.accounts.iter().any(|account| account.project_id == project) {
        return Err(Refusal::NotFound);
    }
    let payload: Value = serde_json::from_slice(body).map_err(|_| {
        let description = "Invalid JSON payload received.".to_owned();
        Refusal::Invalid(Violation { field: "", description })
    })?;
    let message = message::check(&payload).map_err(Refusal::Invalid)?;
    let push = Push {
        provider: Provider::Fcm,
        token: message.token,
        payload,
        authorized_by: project.to_owned(),
    };
    Ok((push, Fcm { project, validate_only: message.validate_only }))
}

/// How FCM answers one request.
struct Fcm<'a> {
    project: &'a str,
    validate_only: bool,
}

impl Manner for Fcm<'_> {
    fn success(&self) -> Response<Bytes> {
        let id = if self.validate_only {
            "fake_message_id".to_owned()
        } else {
            format!("0:{}", fresh())
        };
        let name = format!("projects/{}/messages/{id}", self.project);
        json_response(StatusCode::OK, &json!({ "name": name }))
    }

    fn fault(&self, fault: &Fault) -> Response<Bytes> {
        use FaultReply as F;
        let plain = |status, word| error(status, word, None, Value::Null);
        let fcm = |status, word, code| error(status, word, Some(code), Value::Null);
        match fault.reply {
            F::Unregistered => fcm(StatusCode::NOT_FOUND, "NOT_FOUND", "UNREGISTERED"),
            F::InvalidToken => invalid(&Violation {
                field: "message.token",
                description: "The registration token is not a valid FCM registration token"
                    .to_owned(),
            }),
            F::InvalidArgument => invalid(&Violation {
                field: "message.android.ttl",
                description: "Invalid TTL".to_owned(),
            }),
            F::SenderIdMismatch => {
                fcm(StatusCode::FORBIDDEN, "PERMISSION_DENIED", "SENDER_ID_MISMATCH")
            }
            F::Unauthenticated => plain(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
            F::ThirdPartyAuthError => {
                fcm(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")
            }
            F::PermissionDenied => plain(StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
            F::NotFound => plain(StatusCode::NOT_FOUND, "NOT_FOUND"),
            F::PayloadTooLarge => plain(StatusCode::PAYLOAD_TOO_LARGE, "INVALID_ARGUMENT"),
            F::Throttled => {
                fcm(StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")
            }
            F::DeviceThrottled => device_throttled(),
            F::Internal => fcm(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "INTERNAL"),
            F::Unavailable => fcm(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "UNAVAILABLE"),
            F::BadGateway => html(StatusCode::BAD_GATEWAY),
            F::GatewayTimeout => html(StatusCode::GATEWAY_TIMEOUT),
            F::Unknown => html(StatusCode::IM_A_TEAPOT),
            F::Status => self.status(fault),
            // What is no answer of its own.
            _ => self.success(),
        }
    }
}

impl Fcm<'_> {
    /// Any status; the reason is the error code.
    fn status(&self, fault: &Fault) -> Response<Bytes> {
        let (status, reason) = (fault.status(), fault.reason_text());
        if status.is_success() && reason.is_none() {
            let mut reply = self.success();
            *reply.status_mut() = status;
            return reply;
        }
        let word = match status {
            StatusCode::BAD_REQUEST => "INVALID_ARGUMENT",
            StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
            StatusCode::FORBIDDEN => "PERMISSION_DENIED",
            StatusCode::NOT_FOUND => "NOT_FOUND",
            StatusCode::TOO_MANY_REQUESTS => "RESOURCE_EXHAUSTED",
            StatusCode::INTERNAL_SERVER_ERROR => "INTERNAL",
            StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
            _ => "UNKNOWN",
        };
        error(status, word, reason.as_deref(), Value::Null)
    }
}

fn device_throttled() -> Response<Bytes> {
    let quota = json!({
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"subject": "device", "description": "Device message rate exceeded"}],
    });
    error(StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), quota)
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

#[cfg(test)]
mod tests {
    use super::{Fcm, Manner as _};
    use serde_json::{Value, json};

    #[test]
    fn any_status_can_be_asked_for() {
        let manner = Fcm { project: "p", validate_only: false };
        for (fault, status, word, code) in [
            (
                json!({"status": 404, "reason": "UNREGISTERED"}),
                404,
                "NOT_FOUND",
                Some("UNREGISTERED"),
            ),
            (json!({"status": 429}), 429, "RESOURCE_EXHAUSTED", None),
            (json!({"status": 599, "reason": "NEW"}), 599, "UNKNOWN", Some("NEW")),
        ] {
            let mut fault = fault;
            fault["reply"] = json!("status");
            let reply = manner.fault(&serde_json::from_value(fault).unwrap());
            let body: Value = serde_json::from_slice(reply.body()).unwrap();
            assert_eq!((reply.status().as_u16(), &body["error"]["status"]), (status, &json!(word)));
            assert_eq!(body["error"]["details"][0]["errorCode"].as_str(), code);
        }
        let accepted = json!({"reply": "status", "status": 202});
        let reply = manner.fault(&serde_json::from_value(accepted).unwrap());
        assert_eq!(reply.status(), 202);
        assert!(reply.body().starts_with(b"{\"name\""));
    }
}
