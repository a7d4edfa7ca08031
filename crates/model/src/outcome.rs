//! What a provider's reply means. A reply is data, never an error.

use crate::{Duration, Timestamp};

/// The meaning of one reply: one of seven (contract: providers.md §0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took the message.
    Accepted,
    /// The token is dead, as far as this reply goes.
    DropSubscription(Proof),
    /// This message again later.
    RetryMessage(Delay),
    /// The provider, or our quota with it, is overloaded: stop the credential set, keep the messages.
    PauseProvider(Delay),
    /// Our credential is old: make a new one and send once more.
    RefreshCredential,
    /// Our configuration is wrong: stop the credential set, alert, keep the messages.
    ConfigError,
    /// What we built is wrong: this message is given up.
    PayloadError,
}

impl Outcome {
    /// Its word in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::DropSubscription(_) => "drop_subscription",
            Self::RetryMessage(_) => "retry_message",
            Self::PauseProvider(_) => "pause_provider",
            Self::RefreshCredential => "refresh_credential",
            Self::ConfigError => "config_error",
            Self::PayloadError => "payload_error",
        }
    }

    /// Whether it is us who are refused, not the message.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::ConfigError | Self::RefreshCredential)
    }
}

/// How much a verdict of death is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nothing but the token's end explains it (FCM `UNREGISTERED`).
    Unguarded,
    /// As unguarded, for a device that was last registered no later than this (the `timestamp` of an APNs 410).
    Dated(Timestamp),
    /// A wrong project, topic or key of ours would look the same. Never acted on alone.
    Guarded,
}

/// When to try again. A time the provider named (`Retry-After`) is never undercut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// It failed at the provider's end: the time named, else back off from the first retry delay.
    ServerError(Option<Timestamp>),
    /// It came too often for this device or project: the time named, else back off from the throttling delay.
    Throttled(Option<Timestamp>),
    /// It may or may not have arrived, or the peer was going away: once more soon, then as [`Delay::ServerError`].
    Unanswered,
    /// It was not sent: no name, no connection, no TLS.
    Unreachable,
}

/// A reply's meaning and the bounded word for its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What it means.
    pub outcome: Outcome,
    /// Why, as a metric label: from a closed list, never text of the provider.
    pub reason: Reason,
    /// Whom a pause or a config error concerns.
    pub reach: Reach,
    /// What the answer says against the device, where one such answer says too little.
    pub strike: Option<Strike>,
}

/// How far a pause or a config error reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The whole credential set.
    Set,
    /// One scope of it: a topic, or the origin a client chose.
    Scope,
}

/// An answer that proves nothing once, but does when it comes again and again with no success between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// Looks dead after so many in a row ...
    pub count_min: u32,
    /// ... over at least so long.
    pub age_min: Duration,
}

/// The cause of a verdict. A closed list, so that labels stay bounded; anything unknown is [`Reason::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(pub &'static str);

impl Reason {
    /// No cause worth a word: success.
    pub const NONE: Self = Self("none");
    /// A cause nobody documented.
    pub const OTHER: Self = Self("other");
    /// No answer in time.
    pub const TIMEOUT: Self = Self("timeout");
    /// The connection broke after the request had left.
    pub const CONNECTION_LOST: Self = Self("connection_lost");
    /// No connection could be made.
    pub const UNREACHABLE: Self = Self("unreachable");
    /// Our access token could not be renewed for the moment.
    pub const CREDENTIAL_UNAVAILABLE: Self = Self("credential_unavailable");
    /// The name of the host does not exist.
    pub const UNKNOWN_HOST: Self = Self("unknown_host");
    /// The host is not one we may send to.
    pub const REFUSED_HOST: Self = Self("refused_host");
    /// It was a dry run, and the provider has none: nothing was sent.
    pub const DRY_RUN: Self = Self("dry_run");
    /// Our credential is refused.
    pub const CREDENTIAL_REFUSED: Self = Self("credential_refused");
}

impl Verdict {
    /// A verdict with its cause.
    pub const fn new(outcome: Outcome, reason: &'static str) -> Self {
        Self::of(outcome, Reason(reason))
    }

    /// A verdict with its cause, as a word already.
    pub const fn of(outcome: Outcome, reason: Reason) -> Self {
        Self { outcome, reason, reach: Reach::Set, strike: None }
    }

    /// The same, concerning one scope only.
    #[must_use]
    pub const fn for_scope(self) -> Self {
        Self { reach: Reach::Scope, ..self }
    }

    /// The same, counting against the device.
    #[must_use]
    pub const fn with_strike(self, strike: Strike) -> Self {
        Self { strike: Some(strike), ..self }
    }
}

/// The longest `Retry-After` that is obeyed; beyond it we ask again after this long.
const RETRY_AFTER_MAX: Duration = Duration::from_s(86_400);

/// The time a `Retry-After` of so many seconds names (RFC 9110 §10.2.3), cut to a day.
pub fn retry_after(now: Timestamp, seconds: u64) -> Timestamp {
    now.plus(Duration::from_ms(seconds.saturating_mul(1000)).min(RETRY_AFTER_MAX))
}
