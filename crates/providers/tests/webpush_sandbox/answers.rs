//! Every row of providers.md §3.5, in the words of each service (§3.4).

use reveille_model::{Delay, Duration, Outcome, Proof, Reach};
use reveille_providers::Sender as _;
use serde_json::{Value, json};

use super::rig::{APPLE, GOOGLE, MICROSOFT, MOZILLA, OWN, Rig};

/// Where, in which style, the status, the reason where the service puts it, and what that means.
type Row = ((&'static str, &'static str), u16, Value, Outcome, &'static str);

const AT_MOZILLA: (&str, &str) = (MOZILLA, "mozilla");
const AT_GOOGLE: (&str, &str) = (GOOGLE, "google");
const AT_APPLE: (&str, &str) = (APPLE, "apple");
const AT_MICROSOFT: (&str, &str) = (MICROSOFT, "microsoft");
const AT_OWN: (&str, &str) = (OWN, "up");
/// Mozilla's answers from a host nobody knows: `UnifiedPush` over autopush.
const LIKE_MOZILLA: (&str, &str) = (OWN, "mozilla");

const GUARDED: Outcome = Outcome::DropSubscription(Proof::Guarded);
const GONE: Outcome = Outcome::DropSubscription(Proof::Unguarded);
const SERVER_ERROR: Outcome = Outcome::RetryMessage(Delay::ServerError(None));
const THROTTLED: Outcome = Outcome::RetryMessage(Delay::Throttled(None));
const LATER: Outcome = Outcome::RetryMessage(Delay::Unreachable);
const PAYLOAD: Outcome = Outcome::PayloadError;
const CONFIG: Outcome = Outcome::ConfigError;

fn taken_moved_or_refused() -> Vec<Row> {
    let mismatch = "the key in the authorization header does not correspond to the sender ID used";
    vec![
        (AT_GOOGLE, 200, Value::Null, Outcome::Accepted, "none"),
        (AT_MOZILLA, 201, Value::Null, Outcome::Accepted, "none"),
        (AT_OWN, 202, Value::Null, Outcome::Accepted, "none"),
        (AT_OWN, 204, Value::Null, Outcome::Accepted, "none"),
        (AT_MICROSOFT, 200, Value::Null, Outcome::Accepted, "none"),
        (AT_MOZILLA, 301, Value::Null, GUARDED, "moved"),
        (LIKE_MOZILLA, 301, json!(103), GUARDED, "moved"),
        (AT_OWN, 301, Value::Null, LATER, "redirect"),
        (AT_GOOGLE, 302, Value::Null, LATER, "redirect"),
        (AT_OWN, 303, Value::Null, LATER, "redirect"),
        (AT_APPLE, 307, Value::Null, LATER, "redirect"),
        (AT_MICROSOFT, 308, Value::Null, LATER, "redirect"),
        (AT_GOOGLE, 400, json!("bad"), PAYLOAD, "bad_request"),
        (AT_APPLE, 400, json!("VapidPkHashMismatch"), GUARDED, "key_mismatch"),
        (AT_APPLE, 400, json!("BadWebPushTopic"), PAYLOAD, "bad_topic"),
        (AT_APPLE, 400, json!("BadTtl"), PAYLOAD, "bad_request"),
        (AT_APPLE, 400, json!("BadUrgency"), PAYLOAD, "bad_request"),
        (AT_APPLE, 400, json!("BadWebPushRequest"), PAYLOAD, "bad_request"),
        (AT_APPLE, 400, json!("BadJwtToken"), CONFIG, "bad_jwt"),
        (AT_APPLE, 400, json!("BadAuthorizationHeader"), CONFIG, "bad_vapid"),
        (AT_APPLE, 400, json!("BadVapidPublicKey"), CONFIG, "bad_vapid"),
        (AT_MICROSOFT, 400, json!("Ttl value conflicts"), PAYLOAD, "bad_request"),
        (AT_MOZILLA, 400, json!(101), PAYLOAD, "bad_crypto"),
        (AT_MOZILLA, 400, json!(110), PAYLOAD, "bad_crypto"),
        (AT_MOZILLA, 400, json!(111), PAYLOAD, "bad_crypto"),
        (AT_MOZILLA, 400, json!(112), PAYLOAD, "bad_crypto"),
        (AT_MOZILLA, 400, json!(113), PAYLOAD, "bad_crypto"),
        (AT_GOOGLE, 400, json!("Invalid p256dh"), PAYLOAD, "bad_crypto"),
        (AT_MOZILLA, 401, json!(109), CONFIG, "unauthorized"),
        (AT_OWN, 401, Value::Null, CONFIG, "unauthorized"),
        (AT_GOOGLE, 403, json!(mismatch), GUARDED, "key_mismatch"),
        (AT_GOOGLE, 403, json!("the credentials do not correspond"), GUARDED, "key_mismatch"),
        (AT_APPLE, 403, json!("VapidPkHashMismatch"), GUARDED, "key_mismatch"),
        (AT_APPLE, 403, json!("BadJwtToken"), CONFIG, "bad_jwt"),
        (AT_GOOGLE, 403, json!("forbidden"), CONFIG, "forbidden"),
        (AT_MICROSOFT, 403, Value::Null, CONFIG, "forbidden"),
    ]
}

fn gone_or_in_trouble() -> Vec<Row> {
    vec![
        (AT_MOZILLA, 404, json!(102), GUARDED, "not_found"),
        (AT_GOOGLE, 404, json!("unsubscribed or expired"), GUARDED, "not_found"),
        (AT_APPLE, 404, json!("BadPath"), GUARDED, "not_found"),
        (AT_MICROSOFT, 406, Value::Null, THROTTLED, "wns_throttled"),
        (AT_GOOGLE, 406, Value::Null, PAYLOAD, "other"),
        (AT_OWN, 408, Value::Null, SERVER_ERROR, "too_early"),
        (AT_OWN, 425, Value::Null, SERVER_ERROR, "too_early"),
        (AT_MOZILLA, 410, json!(103), GONE, "gone"),
        (AT_MOZILLA, 410, json!(105), GONE, "gone"),
        (AT_MOZILLA, 410, json!(106), GONE, "gone"),
        (AT_GOOGLE, 410, json!("unsubscribed or expired"), GONE, "gone"),
        (AT_APPLE, 410, json!("Unregistered"), GONE, "gone"),
        (AT_MICROSOFT, 410, json!("channel expired"), GONE, "gone"),
        (AT_MOZILLA, 413, json!(104), PAYLOAD, "payload_too_large"),
        (AT_APPLE, 413, json!("PayloadTooLarge"), PAYLOAD, "payload_too_large"),
        (AT_GOOGLE, 429, Value::Null, THROTTLED, "too_many_requests"),
        (AT_APPLE, 429, json!("TooManyRequests"), THROTTLED, "too_many_requests"),
        (AT_MICROSOFT, 429, Value::Null, THROTTLED, "too_many_requests"),
        (AT_MOZILLA, 500, json!(999), SERVER_ERROR, "internal"),
        (AT_MOZILLA, 502, json!(900), SERVER_ERROR, "bad_gateway"),
        (AT_MOZILLA, 502, json!(903), SERVER_ERROR, "bad_gateway"),
        (AT_OWN, 504, Value::Null, SERVER_ERROR, "gateway_timeout"),
        (AT_MOZILLA, 503, json!(201), SERVER_ERROR, "unavailable"),
        (AT_APPLE, 503, json!("ServiceUnavailable"), SERVER_ERROR, "unavailable"),
        (AT_APPLE, 503, json!("Shutdown"), SERVER_ERROR, "unavailable"),
        (AT_OWN, 507, json!("nobody is subscribed"), SERVER_ERROR, "nobody_listens"),
        // Rule 0.6.
        (AT_OWN, 405, Value::Null, PAYLOAD, "other"),
        (AT_APPLE, 418, json!("SomethingNew"), PAYLOAD, "other"),
        (AT_MOZILLA, 451, json!(777), PAYLOAD, "other"),
        (AT_GOOGLE, 304, Value::Null, PAYLOAD, "other"),
        (AT_MOZILLA, 501, Value::Null, SERVER_ERROR, "other"),
        (AT_OWN, 599, json!("gone"), SERVER_ERROR, "other"),
        (AT_APPLE, 400, json!("SomethingNew"), PAYLOAD, "bad_request"),
        (AT_APPLE, 403, json!("SomethingNew"), CONFIG, "forbidden"),
    ]
}

#[tokio::test]
async fn every_documented_answer_has_its_verdict() {
    let rig = Rig::start("").await;
    let rows = [taken_moved_or_refused(), gone_or_in_trouble()].concat();
    for (row, (at, status, reason, outcome, word)) in rows.into_iter().enumerate() {
        let token = format!("row-{row}");
        let fault = json!({"token": token, "reply": "status", "status": status, "reason": reason});
        rig.fault(fault).await;
        // A sender of its own: an origin that took something judges refusals differently.
        let verdict = rig.sender().send(&rig.push(at, &token)).await;
        let said = format!("{} {status} {reason}", at.0);
        assert_eq!((verdict.outcome, verdict.reason.0), (outcome, word), "{said}");
        // What says too little once, our own refusal among it, counts against the browser.
        let counts = outcome == CONFIG || ["bad_crypto", "nobody_listens"].contains(&word);
        assert_eq!(verdict.strike.is_some(), counts, "{said}");
        // Trouble at the only host of a service is trouble of all of it. Everything else may be about one endpoint.
        let is_trouble = matches!(outcome, Outcome::Accepted | Outcome::RetryMessage(_));
        let is_all = is_trouble && [MOZILLA, GOOGLE, APPLE].contains(&at.0);
        assert_eq!(verdict.reach, if is_all { Reach::Set } else { Reach::Scope }, "{said}");
    }
    let received = rig.received().await;
    let last = format!("row-{}", received.len() - 1);
    assert_eq!(received.last().unwrap()["token"], last, "every row was asked once");
}

#[tokio::test]
async fn the_words_of_each_service_for_the_same_trouble_are_understood() {
    let rig = Rig::start("").await;
    let all = [AT_MOZILLA, AT_GOOGLE, AT_APPLE, AT_MICROSOFT, AT_OWN];
    let same = |outcome, word| [(outcome, word); 5];
    let unauthorized = (CONFIG, "unauthorized");
    let jwt = [unauthorized, unauthorized, (CONFIG, "bad_jwt"), unauthorized, unauthorized];
    let mismatch = (GUARDED, "key_mismatch");
    // Microsoft's text is in a header nobody needs: its subscriptions end by themselves.
    let mismatches = [unauthorized, mismatch, mismatch, (CONFIG, "forbidden"), mismatch];
    for (reply, expected) in [
        ("unregistered", same(GONE, "gone")),
        ("invalid_token", same(GUARDED, "not_found")),
        ("sender_id_mismatch", mismatches),
        ("unauthenticated", jwt),
        ("permission_denied", same(CONFIG, "forbidden")),
        ("payload_too_large", same(PAYLOAD, "payload_too_large")),
        ("throttled", same(THROTTLED, "too_many_requests")),
        ("device_throttled", same(THROTTLED, "too_many_requests")),
        ("internal", same(SERVER_ERROR, "internal")),
        ("unavailable", same(SERVER_ERROR, "unavailable")),
        ("bad_gateway", same(SERVER_ERROR, "bad_gateway")),
        ("gateway_timeout", same(SERVER_ERROR, "gateway_timeout")),
        ("unknown", same(PAYLOAD, "other")),
        ("success", same(Outcome::Accepted, "none")),
    ] {
        for (at, expected) in all.into_iter().zip(expected) {
            rig.fault(json!({"reply": reply, "count": 1})).await;
            let verdict = rig.sender().send(&rig.push(at, "b")).await;
            assert_eq!((verdict.outcome, verdict.reason.0), expected, "{reply} {}", at.0);
        }
    }
}

#[tokio::test]
async fn a_time_that_a_service_names_is_obeyed_from_the_arrival_of_its_answer() {
    let rig = Rig::start("").await;
    let sender = rig.sender();
    let named = Some(rig.now()().plus(Duration::from_s(120)));
    for (at, status, outcome) in [
        (AT_MOZILLA, 503, Outcome::RetryMessage(Delay::ServerError(named))),
        (AT_GOOGLE, 429, Outcome::RetryMessage(Delay::Throttled(named))),
        (AT_MICROSOFT, 406, Outcome::RetryMessage(Delay::Throttled(named))),
        (AT_OWN, 507, Outcome::RetryMessage(Delay::ServerError(named))),
    ] {
        let fault = json!({"reply": "status", "status": status, "retry_after_s": 120, "count": 1});
        rig.fault(fault).await;
        assert_eq!(sender.send(&rig.push(at, "b")).await.outcome, outcome, "{status}");
    }
}
