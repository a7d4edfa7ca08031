//! The pushes of a credential set that are on their way together, as one span: how many there were, and how often each answer came. A push has no span of its
//! own, and one that leaves alone has none at all: its time would be a device's.

use std::collections::BTreeMap;

use reveille_model::{CredentialSet, Duration, Outcome, Timestamp};
use reveille_service::traces::Traces;

/// Fewest pushes that are told of.
const PUSHES_MIN: u64 = 2;
/// Longest time one span tells of. A large batch has several.
const TIME_MAX: Duration = Duration::from_s(60);

/// What is on its way.
pub(super) struct Sending {
    traces: Traces,
    set: CredentialSet,
    together: Option<Together>,
}

struct Together {
    began: Timestamp,
    sent: u64,
    answers: BTreeMap<&'static str, u64>,
}

impl Sending {
    /// Nothing, so far.
    pub(super) fn new(traces: Traces, set: CredentialSet) -> Self {
        Self { traces, set, together: None }
    }

    /// A push leaves.
    pub(super) fn leaves(&mut self, now: Timestamp) {
        if self.traces.is_on() {
            self.together(now).sent += 1;
        }
    }

    /// A push was answered.
    pub(super) fn answered(&mut self, outcome: Outcome, now: Timestamp) {
        if self.traces.is_on() {
            *self.together(now).answers.entry(attribute(outcome)).or_default() += 1;
        }
    }

    fn together(&mut self, now: Timestamp) -> &mut Together {
        let begin = || Together { began: now, sent: 0, answers: BTreeMap::new() };
        self.together.get_or_insert_with(begin)
    }

    /// Tells of them when none is on its way any more, or when it has been long.
    pub(super) fn look(&mut self, now: Timestamp, in_flight: usize) {
        let is_over = |each: &mut Together| in_flight == 0 || now.since(each.began) >= TIME_MAX;
        let Some(Together { began, sent, answers }) = self.together.take_if(is_over) else {
            return;
        };
        if sent < PUSHES_MIN {
            return;
        }
        let mut span = self.traces.begin_at("send", began);
        span.of_set(&self.set);
        span.count("reveille.pushes", sent);
        for (what, count) in answers {
            span.count(what, count);
        }
    }
}

/// The name under which an answer is counted.
const fn attribute(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "reveille.answers.accepted",
        Outcome::DropSubscription(_) => "reveille.answers.drop_subscription",
        Outcome::RetryMessage(_) => "reveille.answers.retry_message",
        Outcome::PauseProvider(_) => "reveille.answers.pause_provider",
        Outcome::RefreshCredential => "reveille.answers.refresh_credential",
        Outcome::ConfigError => "reveille.answers.config_error",
        Outcome::PayloadError => "reveille.answers.payload_error",
    }
}
