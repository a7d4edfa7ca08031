//! A provider that fails, lies and forgets.

use std::collections::BTreeMap;

use reveille_model::{Delay, Duration, Outcome, Proof, Rng, Timestamp};

/// What a seed's provider may do. Each seed turns some off entirely, so that rare combinations come up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits([bool; 6]);

const SERVER_ERRORS: usize = 0;
const THROTTLES: usize = 1;
const PAUSES: usize = 2;
const CONFIG_ERRORS: usize = 3;
const MISTAKES: usize = 4;
const SILENCE: usize = 5;

impl Habits {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self([(); 6].map(|()| rng.below(2) == 0))
    }

    fn has(self, habit: usize) -> bool {
        self.0.get(habit).copied().unwrap_or_default()
    }

    pub(crate) const GOOD: Self = Self([false; 6]);
}

/// The provider and what it knows.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) habits: Habits,
    /// Whether a mistake of ours is made now, in seeds that have one: every device looks dead.
    pub(crate) mistakes_all: bool,
    /// When each token was last taken.
    pub(crate) taken: BTreeMap<String, Timestamp>,
}

impl Provider {
    pub(crate) fn new(habits: Habits) -> Self {
        Self { habits, mistakes_all: false, taken: BTreeMap::new() }
    }

    /// Takes a push or not, and says what it says. A token that ends in `dead` is; one that ends in `gone` is too, in words that a mistake
    /// of ours would bring about as well.
    pub(crate) fn answer(&mut self, token: &str, now: Timestamp, rng: &mut Rng) -> Outcome {
        if token.ends_with("dead") {
            return Outcome::DropSubscription(Proof::Unguarded);
        }
        let is_mistaken = self.mistakes_all && self.habits.has(MISTAKES);
        if token.ends_with("gone") || is_mistaken {
            return Outcome::DropSubscription(Proof::Guarded);
        }
        let named =
            (rng.below(2) == 0).then(|| now.plus(Duration::from_ms(rng.between(1_000, 30_000))));
        let outcome = match rng.below(12) {
            0 if self.habits.has(SERVER_ERRORS) => Outcome::RetryMessage(Delay::ServerError(named)),
            1 if self.habits.has(THROTTLES) => Outcome::RetryMessage(Delay::Throttled(named)),
            2 if self.habits.has(PAUSES) => Outcome::PauseProvider(Delay::Throttled(named)),
            3 if self.habits.has(CONFIG_ERRORS) => Outcome::ConfigError,
            4 if self.habits.has(SILENCE) => {
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
