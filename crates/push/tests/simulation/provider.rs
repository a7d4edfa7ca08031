//! A provider that fails, lies and forgets.

use std::collections::BTreeMap;

use reveille_model::{Delay, Duration, Outcome, Proof, Rng, Timestamp};

/// What a seed's provider may do. Each seed turns some off entirely, so that rare combinations come up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    server_errors: bool,
    throttles: bool,
    pauses: bool,
    config_errors: bool,
    guarded_lies: bool,
    silence: bool,
}

impl Habits {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut flag = || rng.below(2) == 0;
        Self {
            server_errors: flag(),
            throttles: flag(),
            pauses: flag(),
            config_errors: flag(),
            guarded_lies: flag(),
            silence: flag(),
        }
    }

    pub(crate) const GOOD: Self = Self {
        server_errors: false,
        throttles: false,
        pauses: false,
        config_errors: false,
        guarded_lies: false,
        silence: false,
    };
}

/// The provider and what it knows.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) habits: Habits,
    /// When each token was last taken.
    pub(crate) taken: BTreeMap<String, Timestamp>,
}

impl Provider {
    pub(crate) fn new(habits: Habits) -> Self {
        Self { habits, taken: BTreeMap::new() }
    }

    /// Takes a push or not, and says what it says. A token that ends in `dead` is.
    pub(crate) fn answer(&mut self, token: &str, now: Timestamp, rng: &mut Rng) -> Outcome {
        if token.ends_with("dead") {
            return Outcome::DropSubscription(Proof::Unguarded);
        }
        let named =
            (rng.below(2) == 0).then(|| now.plus(Duration::from_s(1 + rng.below(30) as u32)));
        let outcome = match rng.below(12) {
            0 if self.habits.server_errors => Outcome::RetryMessage(Delay::ServerError(named)),
            1 if self.habits.throttles => Outcome::RetryMessage(Delay::Throttled(named)),
            2 if self.habits.pauses => Outcome::PauseProvider(Delay::Throttled(named)),
            3 if self.habits.config_errors => Outcome::ConfigError,
            4 if self.habits.guarded_lies => Outcome::DropSubscription(Proof::Guarded),
            5 if self.habits.silence => {
                if rng.below(2) == 0 {
                    self.taken.insert(token.to_owned(), now);
                }
                Outcome::RetryMessage(Delay::Unanswered)
            }
            _ => Outcome::Accepted,
        };
        if outcome == Outcome::Accepted {
            self.taken.insert(token.to_owned(), now);
        }
        outcome
    }
}
