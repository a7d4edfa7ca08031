//! A push to headers and bytes. Pure. (Contract: providers.md §1.4.)

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use serde::Serialize;

use super::Kind;
use crate::Push;

#[derive(Serialize)]
struct Body<'a> {
    aps: Aps<'a>,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case", untagged)]
enum Aps<'a> {
    #[serde(rename_all = "kebab-case")]
    Alert { alert: &'a str, mutable_content: u8, thread_id: &'a str },
    #[serde(rename_all = "kebab-case")]
    Background { content_available: u8 },
}

#[derive(Serialize)]
struct Data<'a> {
    r#type: &'a str,
    /// Of the one kind of message that asks a device for proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
}

/// The body: the one the replaced service sends, or a silent one. It says nothing but the message type.
pub fn body(push: &Push, kind: Kind) -> Bytes {
    let message_type = push.message_type.as_str();
    let aps = match kind {
        Kind::Alert => {
            Aps::Alert { alert: message_type, mutable_content: 1, thread_id: message_type }
        }
        Kind::Background => Aps::Background { content_available: 1 },
    };
    let body = Body {
        aps,
        data: Data { r#type: message_type, nonce: push.nonce.map(|nonce| nonce.to_string()) },
    };
    serde_json::to_vec(&body).expect("texts and numbers are JSON").into()
}

/// The request. `base` is the endpoint's `https://host`, `bearer` the provider token where there is one.
///
/// Nothing where the token or topic do not fit into a request, which validation at intake does not let through.
pub fn request(
    base: &str,
    push: &Push,
    kind: Kind,
    bearer: Option<HeaderValue>,
) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::new(body(push, kind)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::try_from(format!("{base}/3/device/{}", push.token.expose())).ok()?;
    let headers = request.headers_mut();
    if let Some(bearer) = bearer {
        headers.insert(AUTHORIZATION, bearer);
    }
    let mut add = |name: &'static str, value: &str| {
        let value = HeaderValue::from_str(value).ok()?;
        headers.insert(HeaderName::from_static(name), value);
        Some(())
    };
    let (push_type, priority) = match kind {
        Kind::Alert => ("alert", "10"),
        Kind::Background => ("background", "5"),
    };
    add("apns-push-type", push_type)?;
    add("apns-priority", priority)?;
    if let Some(topic) = &push.topic {
        add("apns-topic", topic.as_str())?;
    }
    add("apns-collapse-id", push.message_type.as_str())?;
    // Different for each push: they must not fill the header compression's table (contract: providers.md §1.2).
    for (name, value) in
        [("apns-expiration", push.expires_at.as_s().max(1).to_string()), ("apns-id", uuid(push.id))]
    {
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
    Some(request)
}

/// Random bytes as a version 4 UUID (RFC 9562 §5.4) in lower case.
fn uuid(mut bytes: [u8; 16]) -> String {
    for (index, byte) in bytes.iter_mut().enumerate() {
        match index {
            6 => *byte = *byte & 0x0f | 0x40,
            8 => *byte = *byte & 0x3f | 0x80,
            _ => {}
        }
    }
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        write!(text, "{byte:02x}").expect("a text takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Kind, body, request};
    use crate::Push;
    use http::HeaderValue;
    use reveille_model::{DryRun, MessageType, Provider, Timestamp, Token, Topic};

    fn push() -> Push {
        Push {
            token: Token::parse(Provider::Apns, "AABBccdd").unwrap(),
            topic: Some(Topic::parse("org.wikimedia.wikipedia").unwrap()),
            message_type: MessageType::parse("checkEchoV1").unwrap(),
            dry_run: DryRun::No,
            nonce: None,
            expires_at: Timestamp::from_ms(1_795_254_000_999),
            id: [0xff; 16],
        }
    }

    #[test]
    fn bodies_are_as_documented_and_say_nothing_else() {
        assert_eq!(
            body(&push(), Kind::Alert),
            concat!(
                r#"{"aps":{"alert":"checkEchoV1","mutable-content":1,"thread-id":"checkEchoV1"},"#,
                r#""data":{"type":"checkEchoV1"}}"#
            )
        );
        let silent = r#"{"aps":{"content-available":1},"data":{"type":"checkEchoV1"}}"#;
        assert_eq!(body(&push(), Kind::Background), silent);
    }

    #[test]
    fn headers_are_as_documented_and_nothing_else() {
        let bearer = HeaderValue::from_static("bearer x");
        let shown = |kind, bearer| {
            let request = request("https://a", &push(), kind, bearer).unwrap();
            let mut headers: Vec<String> = request
                .headers()
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            headers.sort();
            (format!("{} {}", request.method(), request.uri()), headers)
        };
        let (line, headers) = shown(Kind::Alert, Some(bearer));
        assert_eq!(line, "POST https://a/3/device/aabbccdd");
        let expected = [
            "apns-collapse-id: checkEchoV1",
            "apns-expiration: 1795254000",
            "apns-id: ffffffff-ffff-4fff-bfff-ffffffffffff",
            "apns-priority: 10",
            "apns-push-type: alert",
            "apns-topic: org.wikimedia.wikipedia",
            "authorization: bearer x",
        ];
        assert_eq!(headers, expected);
        let (_, headers) = shown(Kind::Background, None);
        assert!(headers.contains(&"apns-priority: 5".to_owned()), "10 is an error");
        assert!(headers.contains(&"apns-push-type: background".to_owned()));
        assert!(!headers.iter().any(|header| header.starts_with("authorization")));
    }

    #[test]
    fn what_differs_from_push_to_push_is_never_indexed() {
        let request = request("https://a", &push(), Kind::Alert, None).unwrap();
        for name in ["apns-id", "apns-expiration"] {
            assert!(request.headers()[name].is_sensitive(), "{name}");
        }
    }
}
