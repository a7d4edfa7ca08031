//! A push to bytes. Pure.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use reveille_model::limits::TTL_S_MAX;
use reveille_model::{DryRun, FcmTarget, Timestamp};
use serde::Serialize;

use super::Priority;
use crate::Push;

#[derive(Serialize)]
struct Body<'a> {
    validate_only: bool,
    message: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fid: Option<&'a str>,
    data: Data<'a>,
    android: Android<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    r#type: &'a str,
    /// Of the one kind of message that asks a device for proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
}

#[derive(Serialize)]
struct Android<'a> {
    collapse_key: &'a str,
    priority: &'a str,
    ttl: String,
}

/// The message (contract: providers.md §2.2). The same for every device but for its token, and says nothing but the message type.
pub fn body(push: &Push, priority: Priority, now: Timestamp) -> Bytes {
    let message_type = push.message_type.as_str();
    let ttl_s = push.expires_at.since(now).as_s().min(u64::from(TTL_S_MAX));
    let (token, fid) = match push.token.fcm_target() {
        FcmTarget::Token(token) => (Some(token), None),
        FcmTarget::Fid(fid) => (None, Some(fid)),
    };
    let body = Body {
        validate_only: push.dry_run == DryRun::Yes,
        message: Message {
            token,
            fid,
            data: Data { r#type: message_type, nonce: push.nonce.map(|nonce| nonce.to_string()) },
            android: Android {
                collapse_key: message_type,
                priority: match priority {
                    Priority::Normal => "NORMAL",
                    Priority::High => "HIGH",
                },
                ttl: format!("{ttl_s}s"),
            },
        },
    };
    serde_json::to_vec(&body).expect("texts and a flag are JSON").into()
}

/// The request. `url` is that of the project's `messages:send`.
pub fn request(url: &http::Uri, bearer: &HeaderValue, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.clone();
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, bearer.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

#[cfg(test)]
mod tests {
    use super::{Priority, body};
    use crate::Push;
    use reveille_model::{DryRun, Duration, MessageType, Provider, Timestamp, Token};

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn push(token: &str) -> Push {
        Push {
            token: Token::parse(Provider::Fcm, token).unwrap(),
            topic: None,
            message_type: MessageType::parse("checkEchoV1").unwrap(),
            dry_run: DryRun::No,
            nonce: None,
            expires_at: NOW.plus(Duration::from_s(3600)),
            id: [0; 16],
        }
    }

    #[test]
    fn the_message_is_as_documented_and_says_nothing_else() {
        let expected = concat!(
            r#"{"validate_only":false,"message":{"token":"a:B_c-1","data":{"type":"checkEchoV1"},"#,
            r#""android":{"collapse_key":"checkEchoV1","priority":"NORMAL","ttl":"3600s"}}}"#
        );
        assert_eq!(body(&push("a:B_c-1"), Priority::Normal, NOW), expected);
    }

    #[test]
    fn an_installation_id_stands_in_its_own_field() {
        let push = Push { token: Token::fid("dIn_x").unwrap(), ..push("t") };
        let json: serde_json::Value =
            serde_json::from_slice(&body(&push, Priority::Normal, NOW)).unwrap();
        assert_eq!(json["message"]["fid"], "dIn_x");
        assert_eq!(json["message"].get("token"), None);
    }

    #[test]
    fn odd_tokens_are_escaped_and_dry_runs_marked() {
        let dry = Push { dry_run: DryRun::Yes, ..push("\"},{\"x\n\u{1f600}") };
        let json: serde_json::Value =
            serde_json::from_slice(&body(&dry, Priority::High, NOW)).unwrap();
        assert_eq!(json["validate_only"], true);
        assert_eq!(json["message"]["token"], "\"},{\"x\n\u{1f600}");
        assert_eq!(json["message"]["android"]["priority"], "HIGH");
    }

    #[test]
    fn the_time_to_live_shrinks_and_never_wraps() {
        let ttl = |now: Timestamp| {
            let json: serde_json::Value =
                serde_json::from_slice(&body(&push("t"), Priority::Normal, now)).unwrap();
            json["message"]["android"]["ttl"].as_str().unwrap().to_owned()
        };
        assert_eq!(ttl(NOW.plus(Duration::from_s(600))), "3000s");
        assert_eq!(ttl(NOW.plus(Duration::from_s(9_999))), "0s");
        assert_eq!(ttl(Timestamp::EPOCH.minus(Duration::from_s(9_999_999))), "2419200s");
    }
}
