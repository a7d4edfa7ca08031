//! An answer of APNs to a verdict. Pure. (Contract: providers.md §1.5; Apple, *Handling notification responses from APNs*.)

use reveille_model::{Delay, Outcome, Proof, Timestamp, Verdict};
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    reason: String,
    timestamp: Option<i64>,
}

/// What an answer means for the connection it came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// It goes on.
    Keep,
    /// It takes nothing more.
    Retire,
    /// It takes nothing more, and this push is sent again over another, once.
    Replace,
}

/// An answer, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// What it means for the push.
    pub verdict: Verdict,
    /// What it means for the connection.
    pub connection: Connection,
}

/// Reads an answer. `retry_after` is the time its header names; Apple documents none, and one that is there is obeyed. What is unknown is
/// judged by its class and drops nothing.
pub fn reply(status: u16, retry_after: Option<Timestamp>, body: &[u8]) -> Answer {
    if (200..300).contains(&status) {
        return keep(Outcome::Accepted, "none");
    }
    let Body { reason, timestamp } = serde_json::from_slice(body).unwrap_or_default();
    let server_error = Outcome::RetryMessage(Delay::ServerError(retry_after));
    match reason.as_str() {
        "Unregistered" if status == 410 => keep(dead(timestamp), "Unregistered"),
        "ExpiredToken" if status == 410 => keep(dead(timestamp), "ExpiredToken"),
        "BadDeviceToken" => keep(Outcome::DropSubscription(Proof::Guarded), "BadDeviceToken"),
        "DeviceTokenNotForTopic" => {
            keep(Outcome::DropSubscription(Proof::Guarded), "DeviceTokenNotForTopic")
        }
        "BadTopic" => for_topic("BadTopic"),
        "TopicDisallowed" => for_topic("TopicDisallowed"),
        "MissingTopic" => for_topic("MissingTopic"),
        "IdleTimeout" => replace(Outcome::RetryMessage(Delay::Unanswered), "IdleTimeout"),
        "ExpiredProviderToken" => keep(Outcome::RefreshCredential, "ExpiredProviderToken"),
        "InvalidProviderToken" => keep(Outcome::RefreshCredential, "InvalidProviderToken"),
        "MissingProviderToken" => keep(Outcome::RefreshCredential, "MissingProviderToken"),
        "UnrelatedKeyIdInToken" => replace(Outcome::ConfigError, "UnrelatedKeyIdInToken"),
        "TooManyProviderTokenUpdates" => keep(
            Outcome::PauseProvider(Delay::Throttled(retry_after)),
            "TooManyProviderTokenUpdates",
        ),
        "TooManyRequests" => {
            keep(Outcome::RetryMessage(Delay::Throttled(retry_after)), "TooManyRequests")
        }
        "InternalServerError" => keep(server_error, "InternalServerError"),
        "ServiceUnavailable" => replace(server_error, "ServiceUnavailable"),
        "Shutdown" => Answer {
            connection: Connection::Retire,
            ..keep(Outcome::RetryMessage(Delay::Unanswered), "Shutdown")
        },
        other => match ours(other) {
            Some((outcome, reason)) => keep(outcome, reason),
            None => by_class(status, retry_after),
        },
    }
}

/// What only we can have done wrong.
fn ours(reason: &str) -> Option<(Outcome, &'static str)> {
    let payload = [
        "BadCollapseId",
        "BadExpirationDate",
        "BadMessageId",
        "BadPriority",
        "InvalidPushType",
        "DuplicateHeaders",
        "PayloadEmpty",
        "MissingDeviceToken",
        "BadPath",
        "MethodNotAllowed",
        "PayloadTooLarge",
    ];
    let config = [
        "BadEnvironmentKeyIdInToken",
        "BadEnvironmentKeyInToken",
        "BadCertificate",
        "BadCertificateEnvironment",
        "Forbidden",
    ];
    let find = |words: &[&'static str]| words.iter().copied().find(|word| *word == reason);
    find(&payload)
        .map(|word| (Outcome::PayloadError, word))
        .or_else(|| find(&config).map(|word| (Outcome::ConfigError, word)))
}

/// A status without a reason that is known.
fn by_class(status: u16, retry_after: Option<Timestamp>) -> Answer {
    let server_error = Outcome::RetryMessage(Delay::ServerError(retry_after));
    match status {
        403 => keep(Outcome::ConfigError, "other"),
        429 => keep(Outcome::RetryMessage(Delay::Throttled(retry_after)), "other"),
        503 => replace(server_error, "other"),
        500..=599 => keep(server_error, "other"),
        _ => keep(Outcome::PayloadError, "other"),
    }
}

/// Apple says since when the token is dead. Without that it cannot be told from a registration that is newer.
fn dead(timestamp: Option<i64>) -> Outcome {
    Outcome::DropSubscription(match timestamp {
        Some(ms) => Proof::Dated(Timestamp::from_ms(ms)),
        None => Proof::Guarded,
    })
}

fn keep(outcome: Outcome, reason: &'static str) -> Answer {
    Answer { verdict: Verdict::new(outcome, reason), connection: Connection::Keep }
}

fn replace(outcome: Outcome, reason: &'static str) -> Answer {
    Answer { connection: Connection::Replace, ..keep(outcome, reason) }
}

/// A topic that our key does not cover says nothing about the other topics of the key.
fn for_topic(reason: &'static str) -> Answer {
    let Answer { verdict, connection } = keep(Outcome::ConfigError, reason);
    Answer { verdict: verdict.for_scope(), connection }
}

#[cfg(test)]
mod tests {
    use super::{Connection, reply};
    use reveille_model::{Delay, Outcome, Proof, Reach, Timestamp};

    /// Every row of providers.md §1.5, in its order.
    #[test]
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn every_documented_answer_has_its_verdict() {
        use Connection::{Keep, Replace, Retire};
        let server = Outcome::RetryMessage(Delay::ServerError(None));
        let throttled = Delay::Throttled(None);
        let guarded = Outcome::DropSubscription(Proof::Guarded);
        let dated = Outcome::DropSubscription(Proof::Dated(Timestamp::from_ms(1_700)));
        let soon = Outcome::RetryMessage(Delay::Unanswered);
        let (payload, config) = (Outcome::PayloadError, Outcome::ConfigError);
        let refresh = Outcome::RefreshCredential;
        let rows = [
            (400, "BadDeviceToken", guarded, Keep),
            (400, "DeviceTokenNotForTopic", guarded, Keep),
            (400, "BadTopic", config, Keep),
            (400, "TopicDisallowed", config, Keep),
            (400, "MissingTopic", config, Keep),
            (400, "BadCollapseId", payload, Keep),
            (400, "BadExpirationDate", payload, Keep),
            (400, "BadMessageId", payload, Keep),
            (400, "BadPriority", payload, Keep),
            (400, "InvalidPushType", payload, Keep),
            (400, "DuplicateHeaders", payload, Keep),
            (400, "PayloadEmpty", payload, Keep),
            (400, "MissingDeviceToken", payload, Keep),
            (400, "IdleTimeout", soon, Replace),
            (403, "ExpiredProviderToken", refresh, Keep),
            (403, "InvalidProviderToken", refresh, Keep),
            (403, "MissingProviderToken", refresh, Keep),
            (403, "UnrelatedKeyIdInToken", config, Replace),
            (403, "BadEnvironmentKeyIdInToken", config, Keep),
            (403, "BadEnvironmentKeyInToken", config, Keep),
            (403, "BadCertificate", config, Keep),
            (403, "BadCertificateEnvironment", config, Keep),
            (403, "Forbidden", config, Keep),
            (404, "BadPath", payload, Keep),
            (405, "MethodNotAllowed", payload, Keep),
            (410, "Unregistered", dated, Keep),
            (410, "ExpiredToken", dated, Keep),
            (413, "PayloadTooLarge", payload, Keep),
            (429, "TooManyProviderTokenUpdates", Outcome::PauseProvider(throttled), Keep),
            (429, "TooManyRequests", Outcome::RetryMessage(throttled), Keep),
            (500, "InternalServerError", server, Keep),
            (503, "ServiceUnavailable", server, Replace),
            (503, "Shutdown", soon, Retire),
        ];
        for (status, reason, outcome, connection) in rows {
            let body = format!(r#"{{"reason":"{reason}","timestamp":1700}}"#);
            let answer = reply(status, None, body.as_bytes());
            assert_eq!(
                (answer.verdict.outcome, answer.verdict.reason.0, answer.connection),
                (outcome, reason, connection),
                "{status} {reason}"
            );
            let is_topic = reason.contains("Topic") && outcome == config;
            let reach = if is_topic { Reach::Scope } else { Reach::Set };
            assert_eq!(answer.verdict.reach, reach, "{reason}");
        }
        assert_eq!(reply(200, None, b"").verdict.outcome, Outcome::Accepted);
        // Rule 0.6: unknown reasons and statuses.
        let unknown = [
            (400, payload),
            (403, config),
            (410, payload),
            (418, payload),
            (429, Outcome::RetryMessage(throttled)),
            (500, server),
            (599, server),
            (302, payload),
        ];
        for (status, outcome) in unknown {
            for body in ["", r#"{"reason":"SomethingNew"}"#, "<html>", "[]", r#"{"reason":7}"#] {
                let verdict = reply(status, None, body.as_bytes()).verdict;
                assert_eq!(
                    (verdict.outcome, verdict.reason.0),
                    (outcome, "other"),
                    "{status} {body}"
                );
            }
        }
    }

    #[test]
    fn a_death_without_its_date_is_no_proof() {
        let undated = reply(410, None, br#"{"reason":"Unregistered"}"#).verdict.outcome;
        assert_eq!(undated, Outcome::DropSubscription(Proof::Guarded));
        for status in (100..1000).filter(|status| *status != 410) {
            let outcome = reply(status, None, br#"{"reason":"Unregistered","timestamp":1}"#);
            assert!(
                !matches!(outcome.verdict.outcome, Outcome::DropSubscription(_)),
                "{status}: the status must fit the reason"
            );
        }
    }

    #[test]
    fn a_named_time_is_passed_on() {
        let named = Some(Timestamp::from_ms(99_000));
        let outcome = |status, body: &[u8]| reply(status, named, body).verdict.outcome;
        assert_eq!(outcome(500, b""), Outcome::RetryMessage(Delay::ServerError(named)));
        assert_eq!(
            outcome(429, br#"{"reason":"TooManyProviderTokenUpdates"}"#),
            Outcome::PauseProvider(Delay::Throttled(named))
        );
    }
}
