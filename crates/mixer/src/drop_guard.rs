//! Whether verdicts of death can be believed. A wrong environment, topic, project or key of ours makes every device look dead; so does a
//! provider that has gone wrong.

use std::collections::{BTreeMap, VecDeque};

use reveille_model::{Duration, Outcome, Proof, Timestamp};

/// When deaths become suspicious.
#[derive(Debug, Clone, Copy)]
pub struct DropGuardSettings {
    /// Of recent answers, up to this share may be deaths, in percent.
    pub dead_percent_max: u32,
    /// With fewer recent answers the share trips nothing.
    pub answers_min: u32,
    /// Trust is of the answers of so long. A verdict that is to be believed comes at least so long after the first one, so that answers from
    /// before whatever went wrong do not vouch for it.
    pub trust_over: Duration,
}

impl DropGuardSettings {
    /// 30 % of at least 50 answers (contract: providers.md §0, rule 4).
    pub const DEFAULT: Self =
        Self { dead_percent_max: 30, answers_min: 50, trust_over: Duration::from_s(3_600) };

    /// How finely answers are remembered.
    fn bucket(&self) -> Duration {
        Duration::from_ms((self.trust_over.as_ms() / BUCKETS).max(1))
    }
}

/// So many counters a scope are kept.
const BUCKETS: u64 = 12;
/// The share that trips the guard is of the answers of so many of them: ten minutes of an hour.
const TRIP_BUCKETS: u64 = 2;
/// Most scopes that are remembered. A forgotten one is not trusted until it has shown itself anew.
const SCOPES_MAX: usize = 1_024;

/// What the answers of one credential set say about its verdicts of death, by scope: the topic, or the push service's origin and our key
/// with it.
#[derive(Debug, Clone)]
pub struct DropGuard {
    settings: DropGuardSettings,
    scopes: BTreeMap<String, VecDeque<Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    start: Timestamp,
    accepted: u32,
    dead: u32,
}

impl DropGuard {
    /// A guard that has seen nothing and trusts nobody.
    pub fn new(settings: DropGuardSettings) -> Self {
        Self { settings, scopes: BTreeMap::new() }
    }

    /// Takes note of an answer. Only those count that tell a living device from a dead one.
    pub fn heard(&mut self, now: Timestamp, scope: &str, outcome: Outcome) {
        let (accepted, dead) = match outcome {
            Outcome::Accepted => (1, 0),
            Outcome::DropSubscription(Proof::Unguarded | Proof::Dated(_) | Proof::Guarded) => {
                (0, 1)
            }
            _ => return,
        };
        if !self.scopes.contains_key(scope) {
            self.make_room();
        }
        let buckets = self.scopes.entry(scope.to_owned()).or_default();
        let length = self.settings.bucket().as_ms().cast_signed();
        let start = Timestamp::from_ms(now.as_ms() - now.as_ms().rem_euclid(length));
        if buckets.back().is_none_or(|bucket| bucket.start != start) {
            buckets.push_back(Bucket { start, accepted: 0, dead: 0 });
        }
        if let Some(bucket) = buckets.back_mut() {
            bucket.accepted = bucket.accepted.saturating_add(accepted);
            bucket.dead = bucket.dead.saturating_add(dead);
        }
        while buckets.len() as u64 > BUCKETS {
            buckets.pop_front();
        }
    }

    /// Whether too many recent answers in a scope are deaths: an alarm, and nothing guarded is believed.
    pub fn is_tripped(&self, now: Timestamp, scope: &str) -> bool {
        let (accepted, dead) = self.count(now, scope, TRIP_BUCKETS);
        accepted + dead >= u64::from(self.settings.answers_min) && self.is_too_much(accepted, dead)
    }

    /// Whether a scope is known to work: devices were reached lately, and few looked dead.
    pub fn is_trusted(&self, now: Timestamp, scope: &str) -> bool {
        let (accepted, dead) = self.count(now, scope, BUCKETS);
        accepted > 0 && !self.is_too_much(accepted, dead) && !self.is_tripped(now, scope)
    }

    /// Whether anybody is reached at all, whatever the scope, and few look dead.
    pub fn is_trusted_anywhere(&self, now: Timestamp) -> bool {
        let counts = self.scopes.keys().map(|scope| self.count(now, scope, BUCKETS));
        let (accepted, dead) =
            counts.fold((0, 0), |sum, (accepted, dead)| (sum.0 + accepted, sum.1 + dead));
        accepted > 0 && !self.is_too_much(accepted, dead) && !self.is_any_tripped(now)
    }

    /// Whether any scope is tripped.
    pub fn is_any_tripped(&self, now: Timestamp) -> bool {
        self.scopes.keys().any(|scope| self.is_tripped(now, scope))
    }

    fn is_too_much(&self, accepted: u64, dead: u64) -> bool {
        dead * 100 > (accepted + dead) * u64::from(self.settings.dead_percent_max)
    }

    /// Accepted and dead, in the last so many buckets.
    fn count(&self, now: Timestamp, scope: &str, buckets: u64) -> (u64, u64) {
        let oldest = now.minus(Duration::from_ms(self.settings.bucket().as_ms() * buckets));
        self.scopes.get(scope).into_iter().flatten().filter(|bucket| bucket.start > oldest).fold(
            (0, 0),
            |(accepted, dead), bucket| {
                (accepted + u64::from(bucket.accepted), dead + u64::from(bucket.dead))
            },
        )
    }

    /// Forgets the scope that was heard of longest ago, where there is no room for another.
    fn make_room(&mut self) {
        if self.scopes.len() < SCOPES_MAX {
            return;
        }
        let last_heard =
            |buckets: &VecDeque<Bucket>| buckets.back().map_or(Timestamp::EPOCH, |last| last.start);
        let oldest = self.scopes.iter().min_by_key(|(_, buckets)| last_heard(buckets));
        if let Some(scope) = oldest.map(|(scope, _)| scope.clone()) {
            self.scopes.remove(&scope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DropGuard, DropGuardSettings, SCOPES_MAX};
    use reveille_model::{Duration, Outcome, Proof, Timestamp};

    const NOW: Timestamp = Timestamp::from_ms(1_795_254_000_000);
    const DEAD: Outcome = Outcome::DropSubscription(Proof::Unguarded);
    const SUSPECT: Outcome = Outcome::DropSubscription(Proof::Guarded);

    fn later(minutes: u32) -> Timestamp {
        NOW.plus(Duration::from_s(minutes * 60))
    }

    fn guard(answers: &[(Outcome, u32)]) -> DropGuard {
        let mut guard = DropGuard::new(DropGuardSettings::DEFAULT);
        for (outcome, count) in answers {
            (0..*count).for_each(|_| guard.heard(NOW, "topic", *outcome));
        }
        guard
    }

    #[test]
    fn the_alarm_needs_many_answers_and_a_large_share() {
        let rows = [
            (&[(DEAD, 49)][..], false),
            (&[(DEAD, 50)][..], true),
            (&[(SUSPECT, 50)][..], true),
            (&[(DEAD, 30), (Outcome::Accepted, 70)][..], false),
            (&[(DEAD, 20), (SUSPECT, 11), (Outcome::Accepted, 69)][..], true),
            (&[(DEAD, 31), (Outcome::PayloadError, 900)][..], false),
        ];
        for (answers, tripped) in rows {
            assert_eq!(guard(answers).is_tripped(NOW, "topic"), tripped, "{answers:?}");
        }
        let guard = guard(&[(DEAD, 50)]);
        assert!(guard.is_any_tripped(NOW) && !guard.is_tripped(NOW, "another"));
        assert!(!guard.is_any_tripped(later(11)), "it falls by itself");
    }

    #[test]
    fn trust_must_be_shown_and_is_lost_in_time() {
        assert!(!guard(&[]).is_trusted(NOW, "topic"), "nothing is known");
        assert!(!guard(&[(SUSPECT, 1)]).is_trusted(NOW, "topic"));
        assert!(!guard(&[(SUSPECT, 1), (Outcome::Accepted, 2)]).is_trusted(NOW, "topic"));
        let guard = guard(&[(SUSPECT, 1), (Outcome::Accepted, 3)]);
        assert!(guard.is_trusted(NOW, "topic"));
        assert!(!guard.is_trusted(NOW, "another"), "one topic says nothing about another");
        assert!(guard.is_trusted(later(59), "topic"));
        assert!(!guard.is_trusted(later(60), "topic"));
        assert!(guard.is_trusted_anywhere(NOW) && !guard.is_trusted_anywhere(later(60)));
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_not_trusted() {
        let mut guard = DropGuard::new(DropGuardSettings::DEFAULT);
        guard.heard(NOW, "first", Outcome::Accepted);
        for number in 0..SCOPES_MAX {
            guard.heard(later(10), &format!("https://{number}.example"), Outcome::Accepted);
        }
        assert_eq!(guard.scopes.len(), SCOPES_MAX);
        assert!(!guard.is_trusted(later(10), "first"));
        assert!(guard.is_trusted(later(10), "https://7.example"));
        for minutes in 0..10_000 {
            guard.heard(later(minutes), "https://7.example", Outcome::Accepted);
        }
        assert!(guard.scopes["https://7.example"].len() <= 12);
    }
}
