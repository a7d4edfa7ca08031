//! An answer of a push service to a verdict. Pure. (Contract: providers.md §3.4, §3.5.)
//!
//! Services answer in their own ways, and a UnifiedPush server may be any of them behind another name. So an answer is read by what it
//! holds first, by whose host it came from second.

use reveille_model::{Delay, Duration, Outcome, Proof, Reason, Strike, Timestamp, Verdict};
use serde::Deserialize;

use super::Service;

/// An answer as far as it matters.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The time `Retry-After` names.
    pub retry_after: Option<Timestamp>,
    /// `X-WNS-Status`, which only Microsoft sends.
    pub wns_status: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// Who runs the host.
    pub service: Service,
}

/// Mozilla's `errno` and Apple's `reason`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    errno: Option<u32>,
    reason: String,
}

/// The browser subscribed with another key than the one we show.
pub(super) const KEY_MISMATCH: Reason = Reason("key_mismatch");
/// Our token is refused: too old, or of another key (Mozilla's word for both).
pub(super) const UNAUTHORIZED: Reason = Reason("unauthorized");
/// A subscription with keys nobody can encrypt for.
const BAD_KEYS: Strike = Strike { count_min: 3, age_min: Duration::ZERO };
/// Nobody has listened at a UnifiedPush endpoint for a day.
const NOBODY: Strike = Strike { count_min: 2, age_min: Duration::from_s(86_400) };

/// Reads an answer. What is unknown is judged by its class and drops nothing.
pub fn reply(answer: &Answer<'_>, now: Timestamp) -> Verdict {
    let Answer { status, retry_after, wns_status, body, service } = *answer;
    let json: Body = serde_json::from_slice(body).unwrap_or_default();
    let server_error = Outcome::RetryMessage(Delay::ServerError(retry_after));
    let throttled = Outcome::RetryMessage(Delay::Throttled(retry_after));
    match status {
        200..=299 => match wns_status {
            Some("dropped") => Verdict::new(Outcome::Accepted, "wns_dropped"),
            Some("channelthrottled") => Verdict::new(Outcome::Accepted, "wns_throttled"),
            _ => Verdict::new(Outcome::Accepted, "none"),
        },
        301 | 302 | 303 | 307 | 308 if service == Service::Mozilla || json.errno.is_some() => {
            Verdict::new(Outcome::DropSubscription(Proof::Guarded), "moved")
        }
        301 | 302 | 303 | 307 | 308 => {
            Verdict::new(Outcome::RetryMessage(Delay::Unreachable), "redirect")
        }
        400 => bad_request(&json, body),
        401 => Verdict::of(Outcome::RefreshCredential, UNAUTHORIZED),
        403 => forbidden(&json, body),
        404 => Verdict::new(Outcome::DropSubscription(Proof::Guarded), "not_found"),
        406 if wns_status.is_some() || service == Service::Microsoft => {
            Verdict::new(throttled, "wns_throttled")
        }
        408 | 425 => Verdict::new(server_error, "too_early"),
        410 => Verdict::new(Outcome::DropSubscription(Proof::Unguarded), "gone"),
        413 => Verdict::new(Outcome::PayloadError, "payload_too_large"),
        429 => Verdict::new(throttled, "too_many_requests"),
        500 => Verdict::new(server_error, "internal"),
        502 => Verdict::new(server_error, "bad_gateway"),
        503 if json.errno == Some(202) => {
            let soon = retry_after.unwrap_or(now.plus(Duration::from_s(1)));
            Verdict::new(Outcome::RetryMessage(Delay::ServerError(Some(soon))), "unavailable")
        }
        503 => Verdict::new(server_error, "unavailable"),
        504 => Verdict::new(server_error, "gateway_timeout"),
        507 => Verdict::new(server_error, "nobody_listens").with_strike(NOBODY),
        501 | 505..=599 => Verdict::new(server_error, "other"),
        _ => Verdict::new(Outcome::PayloadError, "other"),
    }
}

fn bad_request(json: &Body, body: &[u8]) -> Verdict {
    match (json.reason.as_str(), json.errno) {
        ("VapidPkHashMismatch", _) => mismatch(),
        ("BadJwtToken", _) => Verdict::new(Outcome::RefreshCredential, "bad_jwt"),
        ("BadWebPushTopic", _) => Verdict::new(Outcome::PayloadError, "bad_topic"),
        ("BadTtl" | "BadUrgency" | "BadWebPushRequest", _) => {
            Verdict::new(Outcome::PayloadError, "bad_request")
        }
        ("BadAuthorizationHeader" | "BadVapidPublicKey", _) => {
            Verdict::new(Outcome::ConfigError, "bad_vapid")
        }
        // Missing or wrong encryption headers and keys: ours are the same for all, so that the subscription's may be what is wrong.
        (_, Some(101 | 110..=113)) => {
            Verdict::new(Outcome::PayloadError, "bad_crypto").with_strike(BAD_KEYS)
        }
        _ if speaks_of(body, &["crypto", "encrypt", "p256dh", "decrypt"]) => {
            Verdict::new(Outcome::PayloadError, "bad_crypto").with_strike(BAD_KEYS)
        }
        _ => Verdict::new(Outcome::PayloadError, "bad_request"),
    }
}

fn forbidden(json: &Body, body: &[u8]) -> Verdict {
    match json.reason.as_str() {
        "VapidPkHashMismatch" => mismatch(),
        "BadJwtToken" => Verdict::new(Outcome::RefreshCredential, "bad_jwt"),
        _ if speaks_of(body, &["not correspond"]) => mismatch(),
        _ => Verdict::new(Outcome::ConfigError, "forbidden"),
    }
}

/// The browser subscribed with another key than the one we show.
fn mismatch() -> Verdict {
    Verdict::of(Outcome::DropSubscription(Proof::Guarded), KEY_MISMATCH)
}

fn speaks_of(body: &[u8], words: &[&str]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::{Answer, BAD_KEYS, NOBODY, reply};
    use crate::webpush::Service;
    use reveille_model::{Delay, Duration, Outcome, Proof, Timestamp, Verdict};

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);
    const NAMED: Option<Timestamp> = Some(Timestamp::from_ms(1_120_000));

    fn read(status: u16, service: Service, wns_status: Option<&str>, body: &str) -> Verdict {
        let answer =
            Answer { status, retry_after: NAMED, wns_status, body: body.as_bytes(), service };
        reply(&answer, NOW)
    }

    /// Every row of providers.md §3.5, in its order, with the peculiarities of §3.4.
    #[test]
    fn every_documented_answer_has_its_verdict() {
        use Service::{Apple, Google, Microsoft, Mozilla, Other};
        let server = Outcome::RetryMessage(Delay::ServerError(NAMED));
        let throttled = Outcome::RetryMessage(Delay::Throttled(NAMED));
        let guarded = Outcome::DropSubscription(Proof::Guarded);
        let (payload, config) = (Outcome::PayloadError, Outcome::ConfigError);
        let mozilla = |code: u32, errno: u32| {
            format!(r#"{{"code":{code},"errno":{errno},"error":"x","message":"y"}}"#)
        };
        let apple = |reason: &str| format!(r#"{{"reason":"{reason}"}}"#);
        let google_mismatch = "the key in the authorization header does not correspond to the sender ID used to subscribe";
        let rows: Vec<(u16, Service, String, Outcome, &str)> = vec![
            (200, Other, String::new(), Outcome::Accepted, "none"),
            (201, Mozilla, String::new(), Outcome::Accepted, "none"),
            (202, Other, String::new(), Outcome::Accepted, "none"),
            (204, Other, String::new(), Outcome::Accepted, "none"),
            (301, Mozilla, String::new(), guarded, "moved"),
            (301, Other, String::new(), Outcome::RetryMessage(Delay::Unreachable), "redirect"),
            (302, Google, String::new(), Outcome::RetryMessage(Delay::Unreachable), "redirect"),
            (307, Other, String::new(), Outcome::RetryMessage(Delay::Unreachable), "redirect"),
            (308, Other, String::new(), Outcome::RetryMessage(Delay::Unreachable), "redirect"),
            (400, Google, "bad".to_owned(), payload, "bad_request"),
            (400, Apple, apple("VapidPkHashMismatch"), guarded, "key_mismatch"),
            (400, Apple, apple("BadWebPushTopic"), payload, "bad_topic"),
            (400, Apple, apple("BadTtl"), payload, "bad_request"),
            (400, Apple, apple("BadJwtToken"), Outcome::RefreshCredential, "bad_jwt"),
            (400, Apple, apple("BadVapidPublicKey"), config, "bad_vapid"),
            (400, Microsoft, "Ttl value conflicts".to_owned(), payload, "bad_request"),
            (400, Mozilla, mozilla(400, 110), payload, "bad_crypto"),
            (400, Google, "Invalid p256dh".to_owned(), payload, "bad_crypto"),
            (401, Mozilla, mozilla(401, 109), Outcome::RefreshCredential, "unauthorized"),
            (403, Google, "forbidden".to_owned(), config, "forbidden"),
            (403, Google, google_mismatch.to_owned(), guarded, "key_mismatch"),
            (403, Apple, apple("VapidPkHashMismatch"), guarded, "key_mismatch"),
            (403, Apple, apple("BadJwtToken"), Outcome::RefreshCredential, "bad_jwt"),
            (404, Mozilla, mozilla(404, 102), guarded, "not_found"),
            (404, Apple, apple("BadPath"), guarded, "not_found"),
            (406, Microsoft, String::new(), throttled, "wns_throttled"),
            (406, Google, String::new(), payload, "other"),
            (408, Other, String::new(), server, "too_early"),
            (425, Other, String::new(), server, "too_early"),
            (410, Mozilla, mozilla(410, 106), Outcome::DropSubscription(Proof::Unguarded), "gone"),
            (
                410,
                Google,
                "unsubscribed or expired".to_owned(),
                Outcome::DropSubscription(Proof::Unguarded),
                "gone",
            ),
            (413, Mozilla, mozilla(413, 104), payload, "payload_too_large"),
            (429, Google, String::new(), throttled, "too_many_requests"),
            (429, Apple, apple("TooManyRequests"), throttled, "too_many_requests"),
            (500, Mozilla, mozilla(500, 999), server, "internal"),
            (502, Mozilla, mozilla(502, 900), server, "bad_gateway"),
            (504, Other, "<html>".to_owned(), server, "gateway_timeout"),
            (503, Mozilla, mozilla(503, 201), server, "unavailable"),
            (503, Apple, apple("Shutdown"), server, "unavailable"),
            (507, Other, String::new(), server, "nobody_listens"),
            // Rule 0.6.
            (418, Other, String::new(), payload, "other"),
            (599, Other, String::new(), server, "other"),
            (100, Other, String::new(), payload, "other"),
        ];
        for (status, service, body, outcome, reason) in rows {
            let verdict = read(status, service, None, &body);
            assert_eq!((verdict.outcome, verdict.reason.0), (outcome, reason), "{status} {body}");
        }
    }

    #[test]
    fn peculiar_answers_are_read_wherever_they_come_from() {
        // Microsoft says more in a header.
        assert_eq!(read(200, Service::Microsoft, Some("dropped"), "").reason.0, "wns_dropped");
        assert_eq!(
            read(200, Service::Other, Some("channelthrottled"), "").reason.0,
            "wns_throttled"
        );
        assert_eq!(read(200, Service::Microsoft, Some("received"), "").reason.0, "none");
        assert_eq!(read(406, Service::Other, Some("dropped"), "").reason.0, "wns_throttled");
        // Mozilla's errno 202: at once.
        let answer = Answer {
            status: 503,
            retry_after: None,
            wns_status: None,
            body: br#"{"errno":202}"#,
            service: Service::Other,
        };
        let soon = Some(NOW.plus(Duration::from_s(1)));
        let expected = Outcome::RetryMessage(Delay::ServerError(soon));
        assert_eq!(reply(&answer, NOW).outcome, expected);
        // What says too little once.
        assert_eq!(read(507, Service::Other, None, "").strike, Some(NOBODY));
        assert_eq!(read(400, Service::Other, None, r#"{"errno":111}"#).strike, Some(BAD_KEYS));
        assert_eq!(read(400, Service::Other, None, "").strike, None);
    }

    #[test]
    fn nothing_but_the_documented_answers_drops_a_subscription() {
        let bodies = ["", "null", "[]", "{}", r#"{"errno":"x"}"#, "gone", "NotRegistered", "410"];
        for status in
            (100..1000).filter(|status| ![301, 302, 303, 307, 308, 404, 410].contains(status))
        {
            for body in bodies {
                let outcome = read(status, Service::Mozilla, None, body).outcome;
                assert!(!matches!(outcome, Outcome::DropSubscription(_)), "{status} {body}");
            }
        }
    }
}
