//! Faults to play: what is answered instead of success, to whom, how often.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use reveille_model::Provider;
use serde::{Deserialize, Serialize};

/// Most headers a fault may add.
const HEADERS_MAX: usize = 16;
/// Longest header value and reason, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;
/// Longest glob, in bytes.
const GLOB_BYTES_MAX: usize = 4_096;

/// What is answered. Each provider says it in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultReply {
    /// The device is gone: FCM 404 `UNREGISTERED`, APNs 410 `Unregistered`, Web Push 410.
    Unregistered,
    /// The token is no token: FCM 400 `INVALID_ARGUMENT` about it, APNs 400 `BadDeviceToken`, Web Push 404.
    InvalidToken,
    /// Something else is wrong with the request: 400.
    InvalidArgument,
    /// The token is another sender's: FCM 403 `SENDER_ID_MISMATCH`, APNs 400 `DeviceTokenNotForTopic`, Web Push the mismatch of keys.
    SenderIdMismatch,
    /// The credential is too old: FCM 401 (the access token used is revoked), APNs 403 `ExpiredProviderToken`, Web Push 401 or 403.
    Unauthenticated,
    /// FCM 401 `THIRD_PARTY_AUTH_ERROR`, APNs 403 `InvalidProviderToken`, Web Push as `unauthenticated`.
    ThirdPartyAuthError,
    /// 403 about the sender.
    PermissionDenied,
    /// 404 about the request's address, as for a wrong project. Web Push: the subscription has ended.
    NotFound,
    /// 413.
    PayloadTooLarge,
    /// 429 about the sender: FCM `QUOTA_EXCEEDED`, APNs `TooManyProviderTokenUpdates`.
    Throttled,
    /// 429 about the device: FCM `QUOTA_EXCEEDED`, APNs `TooManyRequests`.
    DeviceThrottled,
    /// 500.
    Internal,
    /// 502 with an HTML page.
    BadGateway,
    /// 503.
    Unavailable,
    /// 504 with an HTML page.
    GatewayTimeout,
    /// A status nobody documented: 418.
    Unknown,
    /// Any status, with a reason in the provider's form.
    Status,
    /// Never an answer.
    Stall,
    /// The stream is reset after the request was read (on HTTP/1.1 the connection is closed).
    Reset,
    /// The stream is refused unread (`REFUSED_STREAM`).
    Refused,
    /// The connection is closed without an answer.
    Close,
    /// `GOAWAY` at once; what is under way on the connection gets no answer.
    Goaway,
    /// `GOAWAY` in two phases; what is under way is answered.
    GoawayGraceful,
    /// The connection is closed before its TLS handshake.
    RefuseConnection,
    /// The TLS handshake is held back for `delay_ms`.
    SlowTls,
    /// Success; for a fault that only delays, or adds headers.
    Success,
}

impl FaultReply {
    /// Whether it concerns a connection, before any request.
    fn is_for_connections(self) -> bool {
        matches!(self, Self::RefuseConnection | Self::SlowTls)
    }

    /// Whether the request gets an answer.
    fn answers(self) -> bool {
        !matches!(self, Self::Stall | Self::Reset | Self::Refused | Self::Close | Self::Goaway)
            && !self.is_for_connections()
    }
}

/// A fault as posted to the control port.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// `apns`, `fcm` or `webpush`; absent for every provider.
    #[serde(default)]
    pub(crate) provider: Option<String>,
    /// Which tokens: a glob with `*` and `?`; absent for everyone.
    #[serde(default)]
    pub(crate) token: Option<String>,
    /// What is answered.
    pub(crate) reply: FaultReply,
    /// How often; absent for ever.
    #[serde(default)]
    pub(crate) count: Option<u64>,
    /// `Retry-After` of the answer, in seconds.
    #[serde(default)]
    pub(crate) retry_after_s: Option<u32>,
    /// Milliseconds since the epoch, for providers that name the time of a token's death.
    #[serde(default)]
    pub(crate) timestamp: Option<i64>,
    /// How long the answer, or the handshake, is held back, in milliseconds.
    #[serde(default)]
    pub(crate) delay_ms: Option<u32>,
    /// The status of the reply `status`.
    #[serde(default)]
    pub(crate) status: Option<u16>,
    /// Why, in the provider's words: a text, or a number where the provider uses numbers.
    #[serde(default)]
    pub(crate) reason: Option<Reason>,
    /// More headers of the answer.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
}

/// A reason as posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Reason {
    Number(u32),
    Text(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Fault {
    /// Says what of it cannot be played.
    pub(crate) fn check(&self) -> Result<(), String> {
        let rule = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        let reply = self.reply;
        rule(
            self.provider.as_deref().is_none_or(|word| Provider::parse(word).is_some()),
            "`provider` must be \"apns\", \"fcm\" or \"webpush\", or absent for all of them",
        )?;
        rule(
            self.token.as_ref().is_none_or(|glob| glob.len() <= GLOB_BYTES_MAX),
            "`token` is too long",
        )?;
        rule(
            !reply.is_for_connections() || self.token.is_none(),
            "a connection has no `token` yet; \"refuse_connection\" and \"slow_tls\" go by `provider` alone",
        )?;
        rule(
            reply != FaultReply::SlowTls || self.delay_ms.is_some(),
            "\"slow_tls\" needs `delay_ms`",
        )?;
        rule(
            (reply == FaultReply::Status) == self.status.is_some(),
            "the reply \"status\" needs `status`, and no other reply takes one",
        )?;
        rule(
            self.status.is_none_or(|status| (100..=599).contains(&status)),
            "`status` must be a number from 100 to 599",
        )?;
        let takes_reason =
            matches!(reply, FaultReply::Status | FaultReply::Goaway | FaultReply::GoawayGraceful);
        rule(
            self.reason.is_none() || takes_reason,
            "`reason` goes with the replies \"status\", \"goaway\" and \"goaway_graceful\"",
        )?;
        let reason_bytes = self.reason.as_ref().map_or(0, |reason| reason.to_string().len());
        rule(reason_bytes <= TEXT_BYTES_MAX, "`reason` is too long")?;
        self.check_headers()
    }

    fn check_headers(&self) -> Result<(), String> {
        if !self.headers.is_empty() && !self.reply.answers() {
            return Err("`headers` need a reply that is an answer".to_owned());
        }
        if self.headers.len() > HEADERS_MAX {
            return Err(format!("there may be up to {HEADERS_MAX} `headers`"));
        }
        for (name, value) in &self.headers {
            let fits = value.len() <= TEXT_BYTES_MAX && name.len() <= TEXT_BYTES_MAX;
            if !fits || header(name, value).is_none() {
                return Err(format!("`headers`: `{name}` or its value cannot be sent"));
            }
        }
        Ok(())
    }

    /// What it adds to an answer.
    pub(crate) fn add_headers(&self, reply: &mut Response<Bytes>) {
        if let Some(seconds) = self.retry_after_s {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let more = self.headers.iter().filter_map(|(name, value)| header(name, value));
        reply.headers_mut().extend(more);
    }

    /// The status of the reply `status`.
    pub(crate) fn status(&self) -> StatusCode {
        let status = self.status.and_then(|status| StatusCode::from_u16(status).ok());
        status.unwrap_or(StatusCode::IM_A_TEAPOT)
    }

    /// The reason as text, if there is one.
    pub(crate) fn reason_text(&self) -> Option<String> {
        self.reason.as_ref().map(Reason::to_string)
    }

    fn is_of(&self, provider: Provider) -> bool {
        self.provider.as_deref().is_none_or(|each| each == provider.as_str())
    }

    fn concerns(&self, provider: Provider, token: &str) -> bool {
        let is_meant = |glob: &str| matches_glob(glob.as_bytes(), token.as_bytes());
        self.is_of(provider)
            && !self.reply.is_for_connections()
            && self.token.as_deref().is_none_or(is_meant)
    }
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let is_framing = ["connection", "content-length", "transfer-encoding", "upgrade"];
    if is_framing.contains(&name.to_ascii_lowercase().as_str()) {
        return None;
    }
    Some((name.parse().ok()?, value.parse().ok()?))
}

/// The faults in force, in the order they were posted.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

/// Most faults in force at once.
pub(crate) const FAULTS_MAX: usize = 1_000;

impl Faults {
    /// Adds one; says whether there was room.
    pub(crate) fn add(&mut self, fault: Fault) -> bool {
        let room = self.0.len() < FAULTS_MAX;
        if room {
            self.0.push(fault);
        }
        room
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn list(&self) -> &[Fault] {
        &self.0
    }

    /// The first fault that concerns a token; its count goes down.
    pub(crate) fn take(&mut self, provider: Provider, token: &str) -> Option<Fault> {
        let index = self.0.iter().position(|fault| fault.concerns(provider, token))?;
        self.take_at(index)
    }

    /// The first fault that concerns a new connection; its count goes down.
    pub(crate) fn take_for_connection(&mut self, provider: Provider) -> Option<Fault> {
        let is_meant = |fault: &Fault| fault.reply.is_for_connections() && fault.is_of(provider);
        let index = self.0.iter().position(is_meant)?;
        self.take_at(index)
    }

    fn take_at(&mut self, index: usize) -> Option<Fault> {
        let fault = self.0.get_mut(index)?;
        let taken = fault.clone();
        if let Some(count) = &mut fault.count {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(index);
            }
        }
        Some(taken)
    }
}

/// `*` stands for any run of bytes, `?` for any one.
fn matches_glob(glob: &[u8], text: &[u8]) -> bool {
    let (mut at_glob, mut at_text) = (0, 0);
    // Where the last `*` was, and how much of the text it had taken.
    let mut star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match glob.get(at_glob) {
            Some(b'*') => {
                star = Some((at_glob, at_text));
                at_glob += 1;
            }
            Some(byte) if *byte == b'?' || Some(byte) == text.get(at_text) => {
                at_glob += 1;
                at_text += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at_glob = star_at + 1;
                    at_text = taken + 1;
                }
                None => return false,
            },
        }
    }
    glob.get(at_glob..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultReply, Faults, matches_glob};
    use bytes::Bytes;
    use http::Response;
    use reveille_model::Provider::{Apns, Fcm};
    use serde_json::{Value, json};

    #[test]
    fn globs_match_as_people_expect() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("dead-*", "dead-1", true),
            ("dead-*", "alive-1", false),
            ("*-1", "a-1-1", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "a", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
        ] {
            assert_eq!(matches_glob(glob.as_bytes(), text.as_bytes()), expected, "{glob} {text}");
        }
    }

    fn fault(value: &Value) -> Fault {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn a_fault_is_played_as_often_as_asked() {
        let mut faults = Faults::default();
        let dead = json!({"provider": "fcm", "token": "d*", "reply": "unregistered", "count": 2});
        assert!(faults.add(fault(&dead)));
        assert!(faults.take(Fcm, "x").is_none());
        assert!(faults.take(Apns, "d").is_none());
        assert!(faults.take(Fcm, "d").is_some());
        assert!(faults.take(Fcm, "d").is_some());
        assert!(faults.take(Fcm, "d").is_none());
    }

    #[test]
    fn a_fault_of_connections_is_not_played_on_requests() {
        let mut faults = Faults::default();
        let slow = json!({"provider": "apns", "reply": "slow_tls", "delay_ms": 1, "count": 1});
        assert!(faults.add(fault(&slow)));
        assert!(faults.add(fault(&json!({"reply": "stall"}))));
        assert!(faults.take_for_connection(Fcm).is_none());
        assert_eq!(faults.take(Apns, "x").unwrap().reply, FaultReply::Stall);
        assert_eq!(faults.take_for_connection(Apns).unwrap().reply, FaultReply::SlowTls);
        assert!(faults.take_for_connection(Apns).is_none());
    }

    #[test]
    fn what_cannot_be_played_is_refused_with_a_reason() {
        let many: serde_json::Map<_, _> =
            (0..17).map(|number| (format!("x-{number}"), json!("y"))).collect();
        for (bad, word) in [
            (json!({"provider": "adm", "reply": "stall"}), "provider"),
            (json!({"reply": "slow_tls"}), "delay_ms"),
            (json!({"reply": "refuse_connection", "token": "a"}), "token"),
            (json!({"reply": "status"}), "status"),
            (json!({"reply": "status", "status": 600}), "599"),
            (json!({"reply": "status", "status": 99}), "100"),
            (json!({"reply": "internal", "status": 500}), "status"),
            (json!({"reply": "internal", "reason": "x"}), "reason"),
            (json!({"reply": "goaway", "reason": "x".repeat(1_025)}), "too long"),
            (json!({"reply": "stall", "headers": {"a": "b"}}), "headers"),
            (json!({"reply": "success", "headers": many}), "16"),
            (json!({"reply": "success", "headers": {"a b": "c"}}), "a b"),
            (json!({"reply": "success", "headers": {"a": "\n"}}), "`a`"),
            (json!({"reply": "success", "headers": {"Content-Length": "1"}}), "Content-Length"),
        ] {
            let what = fault(&bad).check().unwrap_err();
            assert!(what.contains(word), "{bad}: {what}");
        }
        for good in [
            json!({"reply": "status", "status": 100}),
            json!({"reply": "status", "status": 599, "reason": 109, "headers": {"X-WNS-Status": "dropped"}}),
            json!({"provider": "webpush", "reply": "goaway_graceful", "reason": "Shutdown"}),
            json!({"provider": "apns", "reply": "refuse_connection", "count": 3}),
            json!({"reply": "slow_tls", "delay_ms": 10}),
        ] {
            assert_eq!(fault(&good).check(), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_fault_adds_its_headers() {
        let mut reply = Response::new(Bytes::new());
        let throttled =
            json!({"reply": "throttled", "retry_after_s": 7, "headers": {"X-Why": "busy"}});
        fault(&throttled).add_headers(&mut reply);
        assert_eq!(
            (&reply.headers()["retry-after"], &reply.headers()["x-why"]),
            (&"7".parse().unwrap(), &"busy".parse().unwrap())
        );
    }
}
