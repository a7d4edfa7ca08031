//! What a verdict means for a wake-up: settled, or tried again when.

use reveille_model::{Delay, DryRun, Duration, Outcome, Proof, Rng, Settled, Timestamp};

/// A delay that doubles: `rand(0.5..1.5) * min(first * 2^n, cap)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay.
    pub first: Duration,
    /// The longest one, before jitter.
    pub cap: Duration,
}

impl Backoff {
    /// The delay after `failures` failures (at least one), with full jitter.
    pub fn delay(&self, failures: u32, rng: &mut Rng) -> Duration {
        let doubled = self.first.as_ms().saturating_mul(1 << failures.saturating_sub(1).min(32));
        let middle = doubled.min(self.cap.as_ms());
        Duration::from_ms(rng.between(middle / 2, middle.saturating_add(middle / 2)))
    }

    /// The same, never less than without jitter: where a provider says how long to wait at the least.
    pub fn delay_at_least(&self, failures: u32, rng: &mut Rng) -> Duration {
        let doubled = self.first.as_ms().saturating_mul(1 << failures.saturating_sub(1).min(32));
        let middle = doubled.min(self.cap.as_ms());
        Duration::from_ms(rng.between(middle, middle.saturating_add(middle / 2)))
    }
}

/// The delays of one provider (contract: providers.md §1.5, §2.6, §3.5, §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySettings {
    /// After 5xx.
    pub server_error: Backoff,
    /// After 429.
    pub throttled: Backoff,
    /// After so many tries of one wake-up a 429 is followed by the longest delay at once.
    pub throttled_doublings_max: u32,
    /// After it could not be sent at all.
    pub unreachable: Backoff,
    /// After an answer that says our configuration is wrong: how long until one wake-up tries again.
    pub config_error: Duration,
}

impl RetrySettings {
    /// FCM's: 10 s doubling to 10 min after 5xx, 60 s doubling to 15 min after 429.
    pub const FCM: Self = Self {
        server_error: Backoff { first: Duration::from_s(10), cap: Duration::from_s(600) },
        throttled: Backoff { first: Duration::from_s(60), cap: Duration::from_s(900) },
        throttled_doublings_max: u32::MAX,
        unreachable: Backoff { first: Duration::from_s(10), cap: Duration::from_s(600) },
        config_error: Duration::from_s(60),
    };

    /// APNs': 15 min, then 30 min after 5xx, as Apple asks; 60 s doubling after 429, three times.
    pub const APNS: Self = Self {
        server_error: Backoff { first: Duration::from_s(900), cap: Duration::from_s(1800) },
        throttled_doublings_max: 3,
        ..Self::FCM
    };

    /// Web Push services': as FCM, 429 up to 30 min; a host that cannot be reached after 10 min, doubling to 6 h.
    pub const WEB_PUSH: Self = Self {
        throttled: Backoff { first: Duration::from_s(60), cap: Duration::from_s(1800) },
        unreachable: Backoff { first: Duration::from_s(600), cap: Duration::from_s(21_600) },
        ..Self::FCM
    };
}

/// The shortest and longest wait before a message that may have arrived is sent once more, in milliseconds (rule 0.7).
const UNANSWERED_MS: (u64, u64) = (1_000, 10_000);
/// A wake-up whose named time is known still spreads out a little, in milliseconds, so that retries do not arrive as one.
const NAMED_JITTER_MS_MAX: u64 = 1_000;

/// One attempt at a wake-up, just answered.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// How many attempts there were, this one included.
    pub number: u32,
    /// When the answer came.
    pub now: Timestamp,
    /// Whether it was a dry run.
    pub dry_run: DryRun,
}

/// What becomes of a wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It ended.
    Settle(Settled),
    /// It ended because its token is dead, on this proof, which is never [`Proof::Guarded`].
    Dead(Proof),
    /// Its token looks dead, but a mistake of ours looks the same: it is held until more is known.
    Suspect,
    /// It waits and is due again then. That may be after its expiry: then it expires, unless a newer one prolongs it.
    Retry {
        /// When.
        due_at: Timestamp,
    },
}

/// Says what an outcome means for the wake-up it answers.
pub fn after(outcome: Outcome, attempt: Attempt, settings: &RetrySettings, rng: &mut Rng) -> After {
    let due_at = match outcome {
        Outcome::Accepted => {
            let how = if attempt.dry_run == DryRun::Yes { Settled::DryRun } else { Settled::Sent };
            return After::Settle(how);
        }
        Outcome::PayloadError => return After::Settle(Settled::PayloadError),
        Outcome::DropSubscription(Proof::Guarded) => return After::Suspect,
        Outcome::DropSubscription(proof) => return After::Dead(proof),
        Outcome::RetryMessage(delay) | Outcome::PauseProvider(delay) => {
            until(delay, attempt.number, attempt.now, settings, rng)
        }
        // The sender has tried a new credential already; what is left is a wrong one.
        Outcome::RefreshCredential | Outcome::ConfigError => {
            attempt.now.plus(settings.config_error)
        }
    };
    After::Retry { due_at }
}

/// When a delay ends, for the `failures`-th failure in a row.
fn until(
    delay: Delay,
    failures: u32,
    now: Timestamp,
    settings: &RetrySettings,
    rng: &mut Rng,
) -> Timestamp {
    match delay {
        Delay::ServerError(Some(named)) | Delay::Throttled(Some(named)) => {
            after_named(named, now, rng)
        }
        Delay::Throttled(None) if failures > settings.throttled_doublings_max => {
            now.plus(settings.throttled.cap)
        }
        Delay::Throttled(None) => now.plus(settings.throttled.delay(failures, rng)),
        Delay::Unreachable => now.plus(settings.unreachable.delay(failures, rng)),
        Delay::Unanswered if failures <= 1 => {
            let (low, high) = UNANSWERED_MS;
            // Settings shorter than the rule (a sandbox's) shorten it too.
            let high = high.min(settings.server_error.first.as_ms()).max(1);
            now.plus(Duration::from_ms(rng.between(low.min(high), high)))
        }
        Delay::ServerError(None) | Delay::Unanswered => {
            now.plus(settings.server_error.delay_at_least(failures, rng))
        }
    }
}

/// A little after a time the provider named.
pub(crate) fn after_named(named: Timestamp, now: Timestamp, rng: &mut Rng) -> Timestamp {
    named.max(now).plus(Duration::from_ms(rng.between(0, NAMED_JITTER_MS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::{After, Attempt, Backoff, RetrySettings, after};
    use reveille_model::{Delay, DryRun, Duration, Outcome, Proof, Rng, Settled, Timestamp};

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn attempt(number: u32) -> Attempt {
        Attempt { number, now: NOW, dry_run: DryRun::No }
    }

    fn wait_s(outcome: Outcome, number: u32) -> (u64, u64) {
        wait_with(&RetrySettings::FCM, outcome, number)
    }

    fn wait_with(settings: &RetrySettings, outcome: Outcome, number: u32) -> (u64, u64) {
        let mut waits = Vec::new();
        for seed in 0..400 {
            let mut rng = Rng::from_number(seed);
            match after(outcome, attempt(number), settings, &mut rng) {
                After::Retry { due_at } => waits.push(due_at.since(NOW).as_ms()),
                other => panic!("{other:?}"),
            }
        }
        (waits.iter().min().unwrap() / 1000, waits.iter().max().unwrap() / 1000)
    }

    #[test]
    fn what_ends_a_wakeup_and_what_does_not() {
        let settled = |outcome, dry_run| {
            let attempt = Attempt { dry_run, ..attempt(1) };
            after(outcome, attempt, &RetrySettings::FCM, &mut Rng::from_number(0))
        };
        let rows = [
            (Outcome::Accepted, DryRun::No, After::Settle(Settled::Sent)),
            (Outcome::Accepted, DryRun::Yes, After::Settle(Settled::DryRun)),
            (Outcome::PayloadError, DryRun::No, After::Settle(Settled::PayloadError)),
            (
                Outcome::DropSubscription(Proof::Unguarded),
                DryRun::No,
                After::Dead(Proof::Unguarded),
            ),
            (
                Outcome::DropSubscription(Proof::Dated(NOW)),
                DryRun::No,
                After::Dead(Proof::Dated(NOW)),
            ),
            (Outcome::DropSubscription(Proof::Guarded), DryRun::No, After::Suspect),
            (
                Outcome::ConfigError,
                DryRun::No,
                After::Retry { due_at: NOW.plus(Duration::from_s(60)) },
            ),
            (
                Outcome::RefreshCredential,
                DryRun::No,
                After::Retry { due_at: NOW.plus(Duration::from_s(60)) },
            ),
        ];
        for (outcome, dry_run, expected) in rows {
            assert_eq!(settled(outcome, dry_run), expected, "{outcome:?}");
        }
    }

    #[test]
    fn delays_double_with_jitter_up_to_the_cap() {
        let server_error = Outcome::RetryMessage(Delay::ServerError(None));
        assert_eq!(wait_s(server_error, 1), (10, 14), "never sooner than the provider asks");
        assert_eq!(wait_s(server_error, 2), (20, 29));
        let (low, high) = wait_s(server_error, 40);
        assert!((600..620).contains(&low) && (880..=900).contains(&high), "{low} {high}");
        let (low, high) = wait_s(Outcome::RetryMessage(Delay::Throttled(None)), 1);
        assert!((30..32).contains(&low) && (88..=90).contains(&high), "{low} {high}");
    }

    #[test]
    fn each_provider_has_its_own_patience() {
        let server_error = Outcome::RetryMessage(Delay::ServerError(None));
        let throttled = Outcome::RetryMessage(Delay::Throttled(None));
        let unreachable = Outcome::RetryMessage(Delay::Unreachable);
        let (apns, web_push) = (&RetrySettings::APNS, &RetrySettings::WEB_PUSH);
        let within = |waits: (u64, u64), first: u64| {
            assert!(waits.0 >= first / 2 && waits.1 <= first + first / 2, "{waits:?} {first}");
        };
        let (low, high) = wait_with(apns, server_error, 1);
        assert!(low >= 900 && high <= 1_350, "Apple asks for fifteen minutes");
        within(wait_with(apns, server_error, 2), 1800);
        within(wait_with(apns, server_error, 9), 1800);
        within(wait_with(apns, throttled, 3), 240);
        assert_eq!(wait_with(apns, throttled, 4), (900, 900), "three tries, then rarely");
        within(wait_with(apns, unreachable, 1), 10);
        within(wait_with(web_push, unreachable, 1), 600);
        within(wait_with(web_push, unreachable, 9), 21_600);
        within(wait_with(web_push, throttled, 9), 1800);
    }

    #[test]
    fn a_named_time_is_never_undercut() {
        let named = Some(NOW.plus(Duration::from_s(37)));
        for delay in [Delay::ServerError(named), Delay::Throttled(named)] {
            let (low, high) = wait_s(Outcome::RetryMessage(delay), 9);
            assert!(low >= 37 && high <= 38, "{low} {high}");
        }
        // A time in the past means now.
        let past = Some(Timestamp::EPOCH);
        assert!(wait_s(Outcome::PauseProvider(Delay::Throttled(past)), 1).1 <= 1);
    }

    #[test]
    fn an_unanswered_message_is_sent_once_more_soon_and_then_backs_off() {
        let (low, high) = wait_s(Outcome::RetryMessage(Delay::Unanswered), 1);
        assert!(low >= 1 && high <= 10, "{low} {high}");
        assert_eq!(wait_s(Outcome::RetryMessage(Delay::Unanswered), 2), (20, 29));
    }

    #[test]
    fn a_backoff_does_not_overflow() {
        let backoff =
            Backoff { first: Duration::from_ms(u64::MAX), cap: Duration::from_ms(u64::MAX) };
        backoff.delay(u32::MAX, &mut Rng::from_number(1));
    }
}
