//! A request to an answer.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use reveille_model::{Provider, Timestamp};
use serde_json::json;

use super::checks::{check_device, check_headers, check_payload, check_single};
use super::refusal::Refusal;
use crate::delivery::{Manner, Push, deliver};
use crate::fault::{Fault, FaultReply};
use crate::identifiers::uuid;
use crate::transport::{Answer, Client, Connection, Inbound, html, response};

/// Answers one request to the APNs port.
pub(crate) async fn answer(connection: &Connection, inbound: Inbound) -> Answer {
    let state = &connection.state;
    let manner = Apns { id: id(&inbound), now: state.now() };
    match check(connection, &inbound, manner.now) {
        Ok(push) => deliver(state, &inbound, push, &manner).await,
        Err(refusal) => {
            state.log().refuse(Provider::Apns, &refusal.word());
            Answer::Reply(manner.refuse(refusal, None))
        }
    }
}

/// Whether a request is in order.
fn check(connection: &Connection, inbound: &Inbound, now: Timestamp) -> Result<Push, Refusal> {
    if inbound.method != http::Method::POST {
        return Err(Refusal::MethodNotAllowed);
    }
    let token = inbound.path.strip_prefix("/3/device/").ok_or(Refusal::BadPath)?;
    check_single(&inbound.headers)?;
    let authorized_by = authorize(connection, inbound, now)?;
    check_headers(&inbound.headers)?;
    check_device(token)?;
    let payload = check_payload(inbound.header("apns-push-type"), &inbound.body)?;
    Ok(Push { provider: Provider::Apns, token: token.to_owned(), payload, authorized_by })
}

/// Who sends, and whether they may send to the topic. A certificate goes before a token, which is then not looked at.
fn authorize(
    connection: &Connection,
    inbound: &Inbound,
    now: Timestamp,
) -> Result<String, Refusal> {
    let tokens = &connection.state.provider_tokens;
    let topic = inbound.header("apns-topic");
    if connection.client == Client::Certified {
        connection.prove();
        // Without the header the topic is the certificate's own.
        let is_allowed = topic.is_none_or(|topic| tokens.is_topic(topic));
        return if is_allowed {
            Ok("certificate".to_owned())
        } else {
            Err(Refusal::TopicDisallowed)
        };
    }
    let token = tokens.admit(&connection.session, inbound.header("authorization"), now)?;
    connection.prove();
    let topic = topic.ok_or(Refusal::MissingTopic)?;
    if token.topics.contains(topic) {
        Ok(token.key_id.clone())
    } else {
        Err(Refusal::TopicDisallowed)
    }
}

/// The push's identifier: the sender's, or a new one.
fn id(inbound: &Inbound) -> HeaderValue {
    let given = inbound.headers.get("apns-id").filter(|value| value.len() == UUID_LEN);
    given.cloned().unwrap_or_else(new_id)
}

/// Length of an identifier, in characters.
const UUID_LEN: usize = 36;

fn new_id() -> HeaderValue {
    HeaderValue::from_str(&uuid()).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// How APNs answers one request.
struct Apns {
    id: HeaderValue,
    now: Timestamp,
}

impl Apns {
    /// A reason; of a dead token also the time from which it was dead.
    fn refuse(&self, refusal: Refusal, timestamp: Option<i64>) -> Response<Bytes> {
        let timestamp = (refusal == Refusal::Unregistered)
            .then(|| timestamp.unwrap_or_else(|| self.now.as_ms()));
        self.reason(refusal.status(), &refusal.word(), timestamp)
    }

    fn reason(&self, status: StatusCode, reason: &str, timestamp: Option<i64>) -> Response<Bytes> {
        let mut body = json!({ "reason": reason });
        if let (Some(timestamp), Some(body)) = (timestamp, body.as_object_mut()) {
            body.insert("timestamp".to_owned(), timestamp.into());
        }
        let mut reply = response(status, "application/json", body.to_string());
        reply.headers_mut().insert("apns-id", self.id.clone());
        reply
    }

    /// Any status. Without a reason the body is empty.
    fn status(&self, fault: &Fault) -> Response<Bytes> {
        let status = fault.status();
        match fault.reason_text() {
            Some(reason) => {
                let died_at = fault
                    .timestamp
                    .or_else(|| (status == StatusCode::GONE).then(|| self.now.as_ms()));
                self.reason(status, &reason, died_at)
            }
            None => {
                let mut reply = self.success();
                *reply.status_mut() = status;
                reply
            }
        }
    }
}

impl Manner for Apns {
    fn success(&self) -> Response<Bytes> {
        let mut reply = Response::new(Bytes::new());
        reply.headers_mut().insert("apns-id", self.id.clone());
        reply
    }

    fn fault(&self, fault: &Fault) -> Response<Bytes> {
        use FaultReply as F;
        let refusal = match fault.reply {
            F::Unregistered => Refusal::Unregistered,
            F::InvalidToken => Refusal::BadDeviceToken,
            F::InvalidArgument => Refusal::BadExpirationDate,
            F::SenderIdMismatch => Refusal::DeviceTokenNotForTopic,
            F::Unauthenticated => Refusal::ExpiredProviderToken,
            F::ThirdPartyAuthError => Refusal::InvalidProviderToken,
            F::PermissionDenied => Refusal::Forbidden,
            F::NotFound => Refusal::BadPath,
            F::PayloadTooLarge => Refusal::PayloadTooLarge,
            F::Throttled => Refusal::TooManyProviderTokenUpdates,
            F::DeviceThrottled => Refusal::TooManyRequests,
            F::Internal => Refusal::InternalServerError,
            F::Unavailable => Refusal::ServiceUnavailable,
            F::BadGateway => return html(StatusCode::BAD_GATEWAY),
            F::GatewayTimeout => return html(StatusCode::GATEWAY_TIMEOUT),
            F::Unknown => return html(StatusCode::IM_A_TEAPOT),
            F::Status => return self.status(fault),
            // What is no answer of its own.
            _ => return self.success(),
        };
        self.refuse(refusal, fault.timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::{Apns, Manner as _};
    use http::HeaderValue;
    use reveille_model::Timestamp;
    use serde_json::{Value, json};

    fn played(fault: &Value) -> (u16, Value) {
        let manner = Apns { id: HeaderValue::from_static("x"), now: Timestamp::from_ms(7) };
        let reply = manner.fault(&serde_json::from_value(fault.clone()).unwrap());
        let body = serde_json::from_slice(reply.body()).unwrap_or(Value::Null);
        (reply.status().as_u16(), body)
    }

    #[test]
    fn faults_speak_as_apns_does() {
        for (reply, status, reason) in [
            ("invalid_token", 400, "BadDeviceToken"),
            ("invalid_argument", 400, "BadExpirationDate"),
            ("sender_id_mismatch", 400, "DeviceTokenNotForTopic"),
            ("unauthenticated", 403, "ExpiredProviderToken"),
            ("third_party_auth_error", 403, "InvalidProviderToken"),
            ("permission_denied", 403, "Forbidden"),
            ("not_found", 404, "BadPath"),
            ("payload_too_large", 413, "PayloadTooLarge"),
            ("throttled", 429, "TooManyProviderTokenUpdates"),
            ("device_throttled", 429, "TooManyRequests"),
            ("internal", 500, "InternalServerError"),
            ("unavailable", 503, "ServiceUnavailable"),
        ] {
            let expected = (status, json!({ "reason": reason }));
            assert_eq!(played(&json!({ "reply": reply })), expected, "{reply}");
        }
        for (reply, status) in
            [("bad_gateway", 502), ("gateway_timeout", 504), ("unknown", 418), ("success", 200)]
        {
            assert_eq!(played(&json!({ "reply": reply })), (status, Value::Null), "{reply}");
        }
    }

    #[test]
    fn a_dead_token_comes_with_the_time_of_its_death() {
        let dead =
            |timestamp: i64| (410, json!({"reason": "Unregistered", "timestamp": timestamp}));
        assert_eq!(played(&json!({"reply": "unregistered"})), dead(7));
        assert_eq!(played(&json!({"reply": "unregistered", "timestamp": 5})), dead(5));
    }

    #[test]
    fn any_status_can_be_asked_for() {
        for (fault, expected) in [
            (
                json!({"status": 410, "reason": "ExpiredToken"}),
                json!({"reason": "ExpiredToken", "timestamp": 7}),
            ),
            (
                json!({"status": 403, "reason": "BadEnvironmentKeyIdInToken"}),
                json!({"reason": "BadEnvironmentKeyIdInToken"}),
            ),
            (
                json!({"status": 400, "reason": "New", "timestamp": 1}),
                json!({"reason": "New", "timestamp": 1}),
            ),
            (json!({"status": 599}), Value::Null),
        ] {
            let mut asked = fault.clone();
            asked["reply"] = json!("status");
            let status = u16::try_from(fault["status"].as_u64().unwrap()).unwrap();
            assert_eq!(played(&asked), (status, expected), "{fault}");
        }
    }
}
