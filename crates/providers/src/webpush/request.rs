//! A push to headers. Pure. (Contract: providers.md §3.1.)

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use reveille_model::limits::TTL_S_MAX;
use reveille_model::{MessageType, Timestamp};

use super::config::Urgency;
use crate::Push;

/// The headers of a push.
pub(super) fn headers(
    push: &Push,
    urgency: Urgency,
    authorization: HeaderValue,
    now: Timestamp,
) -> HeaderMap {
    // Never 0: WNS refuses it, and it would mean "only if the browser is connected now".
    let ttl_s = push.expires_at.since(now).as_s().clamp(1, u64::from(TTL_S_MAX));
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(AUTHORIZATION, authorization);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(HeaderName::from_static("ttl"), HeaderValue::from(ttl_s));
    headers.insert(HeaderName::from_static("urgency"), HeaderValue::from_static(urgency.as_str()));
    if let Ok(topic) = HeaderValue::try_from(topic(&push.message_type)) {
        headers.insert(HeaderName::from_static("topic"), topic);
    }
    headers
}

/// Replaces an undelivered push of the same message type (RFC 8030 §5.4). Always 32 characters: Apple decodes them, and refuses some lengths.
fn topic(message_type: &MessageType) -> String {
    let hash = digest(&SHA256, format!("reveille topic {message_type}").as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..24).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Urgency, headers, topic};
    use crate::Push;
    use http::HeaderValue;
    use reveille_model::{DryRun, Duration, MessageType, Provider, Timestamp, Token};

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn push(ttl_s: u32) -> Push {
        Push {
            token: Token::parse(Provider::WebPush, "https://a b c").unwrap(),
            topic: None,
            message_type: MessageType::parse("checkEchoV1").unwrap(),
            dry_run: DryRun::No,
            nonce: None,
            expires_at: NOW.plus(Duration::from_s(ttl_s)),
            id: [0; 16],
        }
    }

    #[test]
    fn headers_are_as_documented_and_nothing_else() {
        let headers =
            headers(&push(3600), Urgency::Normal, HeaderValue::from_static("vapid x"), NOW);
        let mut shown: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        shown.sort();
        let expected = [
            "authorization: vapid x".to_owned(),
            "content-encoding: aes128gcm".to_owned(),
            "content-type: application/octet-stream".to_owned(),
            format!("topic: {}", topic(&push(1).message_type)),
            "ttl: 3600".to_owned(),
            "urgency: normal".to_owned(),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_time_to_live_is_never_nothing_and_the_topic_always_of_one_length() {
        let ttl = |ttl_s, now| {
            let headers = headers(&push(ttl_s), Urgency::High, HeaderValue::from_static("x"), now);
            headers["ttl"].to_str().unwrap().to_owned()
        };
        assert_eq!(ttl(0, NOW), "1");
        assert_eq!(ttl(60, NOW.plus(Duration::from_s(600))), "1");
        assert_eq!(ttl(60, NOW.plus(Duration::from_s(20))), "40");
        for word in ["a", "checkEchoV1", "x.y_z-1"] {
            let topic = topic(&MessageType::parse(word).unwrap());
            assert!(topic.len() == 32 && !topic.contains(['+', '/', '=']), "{topic}");
        }
    }
}
