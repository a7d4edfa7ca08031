//! An answer of FCM to a verdict. Pure. (Contract: providers.md §2.6; Firebase, *FCM error codes*.)

use reveille_model::{Delay, Outcome, Proof, Timestamp, Verdict};
use serde::Deserialize;

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    error: ErrorBody,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody {
    message: String,
    status: String,
    details: Vec<Detail>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Detail {
    #[serde(rename = "@type")]
    kind: String,
    #[serde(rename = "errorCode")]
    error_code: String,
    #[serde(rename = "fieldViolations")]
    field_violations: Vec<FieldViolation>,
    violations: Vec<QuotaViolation>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct FieldViolation {
    field: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct QuotaViolation {
    subject: String,
    description: String,
}

/// Reads an answer. `retry_after` is the time its header names. Decides on the FCM error code first, then the status word, then the HTTP
/// status; what is unknown is judged by its class and drops nothing.
pub fn reply(status: u16, retry_after: Option<Timestamp>, body: &[u8]) -> Verdict {
    if (200..300).contains(&status) {
        return Verdict::new(Outcome::Accepted, "none");
    }
    // 502 and 504 may be HTML: then only the status speaks.
    let error = serde_json::from_slice::<Body>(body).unwrap_or_default().error;
    let server_error = Outcome::RetryMessage(Delay::ServerError(retry_after));
    let code =
        error.details.iter().map(|each| each.error_code.as_str()).find(|code| !code.is_empty());
    match code {
        Some("UNREGISTERED") => {
            return Verdict::new(Outcome::DropSubscription(Proof::Unguarded), "UNREGISTERED");
        }
        Some("SENDER_ID_MISMATCH") => {
            return Verdict::new(Outcome::DropSubscription(Proof::Guarded), "SENDER_ID_MISMATCH");
        }
        Some("THIRD_PARTY_AUTH_ERROR" | "APNS_AUTH_ERROR") => {
            return Verdict::new(Outcome::ConfigError, "THIRD_PARTY_AUTH_ERROR");
        }
        Some("QUOTA_EXCEEDED") => return quota(&error, retry_after),
        Some("UNAVAILABLE") => return Verdict::new(server_error, "UNAVAILABLE"),
        Some("INTERNAL") => return Verdict::new(server_error, "INTERNAL"),
        Some("INVALID_ARGUMENT") => return invalid_argument(&error),
        _ => {}
    }
    match (status, error.status.as_str()) {
        (_, "INVALID_ARGUMENT") => invalid_argument(&error),
        (401, _) | (_, "UNAUTHENTICATED") => {
            Verdict::new(Outcome::RefreshCredential, "UNAUTHENTICATED")
        }
        (403, _) | (_, "PERMISSION_DENIED") => {
            Verdict::new(Outcome::ConfigError, "PERMISSION_DENIED")
        }
        (404, _) | (_, "NOT_FOUND") => Verdict::new(Outcome::ConfigError, "NOT_FOUND"),
        (429, _) | (_, "RESOURCE_EXHAUSTED") => quota(&error, retry_after),
        (500, _) | (_, "INTERNAL") => Verdict::new(server_error, "INTERNAL"),
        (503, _) | (_, "UNAVAILABLE") => Verdict::new(server_error, "UNAVAILABLE"),
        (502, _) => Verdict::new(server_error, "BAD_GATEWAY"),
        (504, _) => Verdict::new(server_error, "GATEWAY_TIMEOUT"),
        (413, _) => Verdict::new(Outcome::PayloadError, "PAYLOAD_TOO_LARGE"),
        (400, _) => Verdict::new(Outcome::PayloadError, "BAD_REQUEST"),
        (500..=599, _) => Verdict::new(server_error, "other"),
        _ => Verdict::new(Outcome::PayloadError, "other"),
    }
}

/// Our payload is the same for all, so that a complaint about the token is about the token; any other is about us.
fn invalid_argument(error: &ErrorBody) -> Verdict {
    let about_token = error
        .details
        .iter()
        .flat_map(|each| &each.field_violations)
        .any(|violation| matches!(violation.field.as_str(), "message.token" | "message.fid"));
    if about_token || error.message.contains("not a valid FCM registration token") {
        Verdict::new(Outcome::DropSubscription(Proof::Guarded), "INVALID_TOKEN")
    } else {
        Verdict::new(Outcome::PayloadError, "INVALID_ARGUMENT")
    }
}

/// The device's rate or the project's: a `QuotaFailure` detail that names the device tells them apart.
fn quota(error: &ErrorBody, retry_after: Option<Timestamp>) -> Verdict {
    let delay = Delay::Throttled(retry_after);
    let about_device = error
        .details
        .iter()
        .filter(|each| each.kind.ends_with("google.rpc.QuotaFailure"))
        .flat_map(|each| &each.violations)
        .any(|violation| {
            let names_device = |text: &str| text.to_ascii_lowercase().contains("device");
            names_device(&violation.subject) || names_device(&violation.description)
        });
    if about_device {
        Verdict::new(Outcome::RetryMessage(delay), "QUOTA_EXCEEDED_DEVICE")
    } else {
        Verdict::new(Outcome::PauseProvider(delay), "QUOTA_EXCEEDED")
    }
}

#[cfg(test)]
mod tests {
    use super::reply;
    use reveille_model::{Delay, Outcome, Proof, Timestamp};

    const NAMED: Option<Timestamp> = Some(Timestamp::from_ms(99_000));

    fn error(http: u16, status: &str, code: &str, more: &str) -> String {
        let fcm = if code.is_empty() {
            String::new()
        } else {
            format!(
                r#"{{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"{code}"}}"#
            )
        };
        let comma = if fcm.is_empty() || more.is_empty() { "" } else { "," };
        format!(
            r#"{{"error":{{"code":{http},"message":"m","status":"{status}","details":[{fcm}{comma}{more}]}}}}"#
        )
    }

    fn field(name: &str) -> String {
        format!(
            r#"{{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{{"field":"{name}","description":"d"}}]}}"#
        )
    }

    fn quota(subject: &str) -> String {
        format!(
            r#"{{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{"subject":"{subject}","description":"d"}}]}}"#
        )
    }

    /// Every row of providers.md §2.6, in its order.
    #[test]
    fn every_documented_answer_has_its_verdict() {
        let server = |named| Outcome::RetryMessage(Delay::ServerError(named));
        let throttled = Delay::Throttled(NAMED);
        let guarded = Outcome::DropSubscription(Proof::Guarded);
        let rows: Vec<(u16, String, Outcome, &str)> = vec![
            (200, r#"{"name":"projects/p/messages/1"}"#.to_owned(), Outcome::Accepted, "none"),
            (400, error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", &field("message.token")), guarded, "INVALID_TOKEN"),
            (400, error(400, "INVALID_ARGUMENT", "", &field("message.fid")), guarded, "INVALID_TOKEN"),
            (400, r#"{"error":{"code":400,"message":"The registration token is not a valid FCM registration token","status":"INVALID_ARGUMENT"}}"#.to_owned(), guarded, "INVALID_TOKEN"),
            (400, error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", &field("message.android.ttl")), Outcome::PayloadError, "INVALID_ARGUMENT"),
            (400, error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", ""), Outcome::PayloadError, "INVALID_ARGUMENT"),
            (401, error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", ""), Outcome::ConfigError, "THIRD_PARTY_AUTH_ERROR"),
            (401, error(401, "UNAUTHENTICATED", "APNS_AUTH_ERROR", ""), Outcome::ConfigError, "THIRD_PARTY_AUTH_ERROR"),
            (401, error(401, "UNAUTHENTICATED", "", ""), Outcome::RefreshCredential, "UNAUTHENTICATED"),
            (403, error(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", ""), guarded, "SENDER_ID_MISMATCH"),
            (403, error(403, "PERMISSION_DENIED", "", ""), Outcome::ConfigError, "PERMISSION_DENIED"),
            (404, error(404, "NOT_FOUND", "UNREGISTERED", ""), Outcome::DropSubscription(Proof::Unguarded), "UNREGISTERED"),
            (404, error(404, "NOT_FOUND", "", ""), Outcome::ConfigError, "NOT_FOUND"),
            (413, String::new(), Outcome::PayloadError, "PAYLOAD_TOO_LARGE"),
            (429, error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", ""), Outcome::PauseProvider(throttled), "QUOTA_EXCEEDED"),
            (429, error(429, "RESOURCE_EXHAUSTED", "", ""), Outcome::PauseProvider(throttled), "QUOTA_EXCEEDED"),
            (429, error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", &quota("project:p")), Outcome::PauseProvider(throttled), "QUOTA_EXCEEDED"),
            (429, error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", &quota("device:1")), Outcome::RetryMessage(throttled), "QUOTA_EXCEEDED_DEVICE"),
            (500, error(500, "INTERNAL", "INTERNAL", ""), server(NAMED), "INTERNAL"),
            (502, "<html>".to_owned(), server(NAMED), "BAD_GATEWAY"),
            (504, "<html>".to_owned(), server(NAMED), "GATEWAY_TIMEOUT"),
            (503, error(503, "UNAVAILABLE", "UNAVAILABLE", ""), server(NAMED), "UNAVAILABLE"),
            (503, String::new(), server(NAMED), "UNAVAILABLE"),
            // Rule 0.6: unknown reasons and statuses.
            (400, error(400, "FAILED_PRECONDITION", "UNSPECIFIED_ERROR", ""), Outcome::PayloadError, "BAD_REQUEST"),
            (418, String::new(), Outcome::PayloadError, "other"),
            (302, String::new(), Outcome::PayloadError, "other"),
            (599, error(599, "NEW", "NEWER", ""), server(NAMED), "other"),
            (404, "<html>not found</html>".to_owned(), Outcome::ConfigError, "NOT_FOUND"),
        ];
        for (status, body, outcome, reason) in rows {
            let verdict = reply(status, NAMED, body.as_bytes());
            assert_eq!((verdict.outcome, verdict.reason.0), (outcome, reason), "{status} {body}");
        }
        assert_eq!(reply(503, None, b"").outcome, server(None), "without Retry-After");
    }

    #[test]
    fn nothing_but_the_documented_reasons_drops_a_subscription() {
        let bodies = [
            "",
            "null",
            "[]",
            "{}",
            r#"{"error":7}"#,
            r#"{"error":{"details":[7]}}"#,
            "UNREGISTERED",
        ];
        for status in 100..1000 {
            for body in bodies {
                let outcome = reply(status, None, body.as_bytes()).outcome;
                assert!(!matches!(outcome, Outcome::DropSubscription(_)), "{status} {body}");
            }
        }
    }
}
