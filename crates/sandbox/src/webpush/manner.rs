//! How the push services word their answers.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::Style;
use super::refusal::Refusal;
use crate::delivery::Manner;
use crate::fault::{Fault, FaultReply, Reason};
use crate::transport::{html, json_response, response};

/// Longest time to live, in seconds; more is cut to it.
const TTL_S_MAX: u64 = 2_592_000;
const PLAIN: &str = "text/plain; charset=utf-8";
/// What Mozilla calls an error it has no number for.
const ERRNO_OTHER: u32 = 999;

/// How one service answers one request.
#[derive(Debug)]
pub(super) struct WebPush {
    pub(super) style: Style,
    /// Where a message could be asked for: `https://host:port`.
    pub(super) origin: String,
    pub(super) ttl_s: u64,
    /// The message's identifier.
    pub(super) id: String,
}

impl WebPush {
    pub(super) fn refuse(&self, refusal: Refusal) -> Response<Bytes> {
        let status = refusal.status(self.style);
        let text = refusal.text(self.style);
        match self.style {
            Style::Mozilla => mozilla(status, refusal.errno(), text),
            Style::Apple => self.apple(status, refusal.apple()),
            Style::Microsoft => {
                let word = match refusal {
                    Refusal::DeviceThrottled => "channelthrottled",
                    _ => "dropped",
                };
                microsoft(status, word, Some(text))
            }
            Style::Google | Style::Wp | Style::UnifiedPush => response(status, PLAIN, text),
        }
    }

    fn apple(&self, status: StatusCode, reason: &str) -> Response<Bytes> {
        let mut reply = json_response(status, &json!({ "reason": reason }));
        insert(&mut reply, "apns-id", &self.id);
        reply
    }

    /// Any status; the reason stands where the service puts it.
    fn status(&self, fault: &Fault) -> Response<Bytes> {
        let status = fault.status();
        let reason = fault.reason_text();
        match (self.style, reason) {
            (Style::Microsoft, reason) => {
                let word = if status.is_success() { "received" } else { "dropped" };
                microsoft(status, word, reason.as_deref())
            }
            (_, None) if status.is_success() => {
                let mut reply = self.success();
                *reply.status_mut() = status;
                reply
            }
            (_, None) => response(status, PLAIN, Bytes::new()),
            (Style::Mozilla, Some(text)) => {
                let errno = match &fault.reason {
                    Some(Reason::Number(number)) => Some(*number),
                    _ => text.parse().ok(),
                };
                mozilla(status, errno.unwrap_or(ERRNO_OTHER), &text)
            }
            (Style::Apple, Some(text)) => self.apple(status, &text),
            (_, Some(text)) => response(status, PLAIN, text),
        }
    }
}

impl Manner for WebPush {
    fn success(&self) -> Response<Bytes> {
        if self.style == Style::Microsoft {
            return microsoft(StatusCode::OK, "received", None);
        }
        let body = if self.style == Style::Mozilla { self.id.clone() } else { String::new() };
        let mut reply = response(StatusCode::CREATED, PLAIN, body);
        insert(&mut reply, header::LOCATION.as_str(), &format!("{}/m/{}", self.origin, self.id));
        insert(&mut reply, "ttl", &self.ttl_s.min(TTL_S_MAX).to_string());
        if self.style == Style::Apple {
            insert(&mut reply, "apns-id", &self.id);
        }
        reply
    }

    fn fault(&self, fault: &Fault) -> Response<Bytes> {
        use FaultReply as F;
        self.refuse(match fault.reply {
            F::Unregistered => Refusal::Gone,
            F::InvalidToken | F::NotFound => Refusal::NotFound,
            F::InvalidArgument => Refusal::BadTtl,
            F::SenderIdMismatch => Refusal::KeyMismatch,
            F::Unauthenticated | F::ThirdPartyAuthError => Refusal::BadJwt,
            F::PermissionDenied => Refusal::Forbidden,
            F::PayloadTooLarge => Refusal::TooLarge,
            F::Throttled => Refusal::Throttled,
            F::DeviceThrottled => Refusal::DeviceThrottled,
            F::Internal => Refusal::Internal,
            F::Unavailable => Refusal::Unavailable,
            F::BadGateway => return html(StatusCode::BAD_GATEWAY),
            F::GatewayTimeout => return html(StatusCode::GATEWAY_TIMEOUT),
            F::Unknown => return html(StatusCode::IM_A_TEAPOT),
            F::Status => return self.status(fault),
            // What is no answer of its own.
            _ => return self.success(),
        })
    }
}

fn mozilla(status: StatusCode, errno: u32, message: &str) -> Response<Bytes> {
    let error = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    json_response(
        status,
        &json!({"code": code, "errno": errno, "error": error, "message": message}),
    )
}

/// Microsoft says everything in headers.
fn microsoft(status: StatusCode, word: &str, description: Option<&str>) -> Response<Bytes> {
    let mut reply = response(status, PLAIN, Bytes::new());
    insert(&mut reply, "x-wns-status", word);
    insert(&mut reply, "x-wns-notificationstatus", word);
    if let Some(description) = description {
        insert(&mut reply, "x-wns-error-description", description);
    }
    reply
}

/// Leaves out what cannot stand in a header.
fn insert(reply: &mut Response<Bytes>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::{Manner as _, Style, WebPush};
    use bytes::Bytes;
    use http::Response;
    use serde_json::{Value, json};

    fn manner(style: Style) -> WebPush {
        WebPush { style, origin: "https://h:1".to_owned(), ttl_s: 60, id: "x".to_owned() }
    }

    fn played(style: Style, fault: &Value) -> Response<Bytes> {
        manner(style).fault(&serde_json::from_value(fault.clone()).unwrap())
    }

    fn text(reply: &Response<Bytes>) -> String {
        String::from_utf8(reply.body().to_vec()).unwrap()
    }

    #[test]
    fn success_looks_as_it_does_at_each_service() {
        for style in Style::ALL {
            let reply = manner(style).success();
            let header = |name| reply.headers().get(name).map(|value| value.to_str().unwrap());
            if style == Style::Microsoft {
                assert_eq!(
                    (reply.status().as_u16(), header("x-wns-status")),
                    (200, Some("received"))
                );
            } else {
                assert_eq!(reply.status(), 201);
                assert_eq!(
                    (header("location"), header("ttl")),
                    (Some("https://h:1/m/x"), Some("60"))
                );
            }
            assert_eq!(header("apns-id").is_some(), style == Style::Apple);
        }
    }

    #[test]
    fn faults_have_the_status_and_the_words_of_each_service() {
        let all =
            [Style::Mozilla, Style::Google, Style::Apple, Style::Microsoft, Style::UnifiedPush];
        for (reply, statuses, errno, reason) in [
            ("unregistered", [410; 5], 103, "Unregistered"),
            ("invalid_token", [404; 5], 102, "BadPath"),
            ("not_found", [404; 5], 102, "BadPath"),
            ("invalid_argument", [400; 5], 112, "BadTtl"),
            ("sender_id_mismatch", [401, 403, 403, 403, 403], 109, "VapidPkHashMismatch"),
            ("unauthenticated", [401, 401, 403, 401, 401], 109, "BadJwtToken"),
            ("third_party_auth_error", [401, 401, 403, 401, 401], 109, "BadJwtToken"),
            ("permission_denied", [403; 5], 999, "Forbidden"),
            ("payload_too_large", [413; 5], 104, "PayloadTooLarge"),
            ("throttled", [429; 5], 999, "TooManyRequests"),
            ("device_throttled", [429; 5], 999, "TooManyRequests"),
            ("internal", [500; 5], 999, "InternalServerError"),
            ("unavailable", [503; 5], 201, "ServiceUnavailable"),
        ] {
            let fault = json!({ "reply": reply });
            let found = all.map(|style| played(style, &fault).status().as_u16());
            assert_eq!(found, statuses, "{reply}");
            let mozilla: Value =
                serde_json::from_slice(played(Style::Mozilla, &fault).body()).unwrap();
            assert_eq!((&mozilla["errno"], &mozilla["code"]), (&json!(errno), &json!(statuses[0])));
            let apple: Value = serde_json::from_slice(played(Style::Apple, &fault).body()).unwrap();
            assert_eq!(apple, json!({ "reason": reason }));
            let microsoft = played(Style::Microsoft, &fault);
            assert!(microsoft.headers().contains_key("x-wns-error-description"));
            assert!(microsoft.body().is_empty());
        }
        for (reply, status) in
            [("bad_gateway", 502), ("gateway_timeout", 504), ("unknown", 418), ("success", 201)]
        {
            assert_eq!(played(Style::Wp, &json!({ "reply": reply })).status(), status, "{reply}");
        }
        let mismatch = json!({"reply": "sender_id_mismatch"});
        for style in [Style::Google, Style::Wp, Style::UnifiedPush] {
            assert!(text(&played(style, &mismatch)).contains("do not correspond"), "{style:?}");
        }
        assert!(text(&played(Style::Google, &mismatch)).starts_with(
            "the key in the authorization header does not correspond to the sender ID used to subscribe"
        ));
        let gone = played(Style::Google, &json!({"reply": "unregistered"}));
        assert!(text(&gone).contains("unsubscribed or expired"));
    }

    #[test]
    fn any_status_can_be_asked_for() {
        let ask = |style, status: u16, reason: Value| {
            played(style, &json!({"reply": "status", "status": status, "reason": reason}))
        };
        let errno = |reply: Response<Bytes>| {
            serde_json::from_slice::<Value>(reply.body()).unwrap()["errno"].clone()
        };
        assert_eq!(errno(ask(Style::Mozilla, 503, json!(202))), 202);
        assert_eq!(errno(ask(Style::Mozilla, 410, json!("105"))), 105);
        assert_eq!(errno(ask(Style::Mozilla, 410, json!("why"))), 999);
        assert_eq!(text(&ask(Style::Apple, 400, json!("Bad"))), r#"{"reason":"Bad"}"#);
        assert_eq!(text(&ask(Style::UnifiedPush, 507, json!("nobody listens"))), "nobody listens");
        let dropped = ask(Style::Microsoft, 406, json!("slow down"));
        assert_eq!(dropped.headers()["x-wns-error-description"], "slow down");
        let accepted = ask(Style::Wp, 202, Value::Null);
        assert_eq!(
            (accepted.status().as_u16(), accepted.headers().contains_key("location")),
            (202, true)
        );
    }
}
