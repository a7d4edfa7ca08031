//! Faults to play: what is answered instead of success, to whom, how often.

use serde::{Deserialize, Serialize};

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultReply {
    /// 404 `UNREGISTERED`.
    Unregistered,
    /// 400 `INVALID_ARGUMENT` about the token.
    InvalidToken,
    /// 400 `INVALID_ARGUMENT` about something else.
    InvalidArgument,
    /// 403 `SENDER_ID_MISMATCH`.
    SenderIdMismatch,
    /// 401 `UNAUTHENTICATED`; the access token used is revoked.
    Unauthenticated,
    /// 401 `THIRD_PARTY_AUTH_ERROR`.
    ThirdPartyAuthError,
    /// 403 `PERMISSION_DENIED`.
    PermissionDenied,
    /// 404 `NOT_FOUND` without an FCM error code, as for a wrong project.
    NotFound,
    /// 413.
    PayloadTooLarge,
    /// 429 `QUOTA_EXCEEDED` of the project.
    Throttled,
    /// 429 `QUOTA_EXCEEDED` of the device.
    DeviceThrottled,
    /// 500 `INTERNAL`.
    Internal,
    /// 502 with an HTML page.
    BadGateway,
    /// 503 `UNAVAILABLE`.
    Unavailable,
    /// 504 with an HTML page.
    GatewayTimeout,
    /// A status nobody documented: 418.
    Unknown,
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
    /// Success; for a fault that only delays.
    Success,
}

/// A fault as posted to the control port.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// `fcm`, or absent for every provider.
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
    /// How long the answer is held back, in milliseconds.
    #[serde(default)]
    pub(crate) delay_ms: Option<u32>,
}

impl Fault {
    fn concerns(&self, provider: &str, token: &str) -> bool {
        self.provider.as_deref().is_none_or(|each| each == provider)
            && self
                .token
                .as_deref()
                .is_none_or(|glob| matches_glob(glob.as_bytes(), token.as_bytes()))
    }
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
    pub(crate) fn take(&mut self, provider: &str, token: &str) -> Option<Fault> {
        let index = self.0.iter().position(|fault| fault.concerns(provider, token))?;
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
    use super::{Fault, Faults, matches_glob};

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

    #[test]
    fn a_fault_is_played_as_often_as_asked() {
        let mut faults = Faults::default();
        let fault: Fault = serde_json::from_str(
            r#"{"provider":"fcm","token":"d*","reply":"unregistered","count":2}"#,
        )
        .unwrap();
        assert!(faults.add(fault));
        assert!(faults.take("fcm", "x").is_none());
        assert!(faults.take("apns", "d").is_none());
        assert!(faults.take("fcm", "d").is_some());
        assert!(faults.take("fcm", "d").is_some());
        assert!(faults.take("fcm", "d").is_none());
    }
}
