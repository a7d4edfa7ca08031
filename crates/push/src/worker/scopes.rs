//! The scopes of one credential set: a topic, or a host that a client chose. Trouble in one is no other's.

use std::collections::BTreeMap;

use reveille_mixer::{Allowance, Governor, GovernorSettings};
use reveille_model::{Duration, Outcome, Rng, Timestamp};

/// Most scopes that are governed at once. Beyond it a wake-up for another one waits a moment.
const SCOPES_MAX: usize = 4_096;
/// How long it waits.
const CROWDED: Duration = Duration::from_s(1);

/// A governor for each scope.
pub(super) struct Scopes {
    settings: Option<GovernorSettings>,
    scopes: BTreeMap<String, Scope>,
}

struct Scope {
    governor: Governor,
    in_flight: usize,
    /// When the last of those that were put off may try again, in microseconds.
    last_slot_us: i64,
}

/// Those that are put off come back at the scope's pace, at most so far ahead.
const SLOTS_AHEAD_MAX: Duration = Duration::from_s(300);

impl Scope {
    /// When one that finds no room now may look again: a while from now, not before `until`, and one after the other, so that a long queue is not
    /// looked at again and again.
    fn slot(&mut self, now: Timestamp, until: Timestamp) -> Timestamp {
        let first = until.max(now.plus(CROWDED));
        let apart_us = 60_000_000 / i64::try_from(self.governor.pace().max(1)).unwrap_or(i64::MAX);
        let latest = first.plus(SLOTS_AHEAD_MAX).as_ms().saturating_mul(1_000);
        let next = self.last_slot_us.max(first.as_ms().saturating_mul(1_000));
        self.last_slot_us = next.saturating_add(apart_us.max(1)).min(latest);
        Timestamp::from_ms(next / 1_000)
    }
}

impl Scopes {
    /// Scopes with these bounds each; without settings there is but one, which the set's own governor looks after.
    pub(super) fn new(settings: Option<GovernorSettings>) -> Self {
        Self { settings, scopes: BTreeMap::new() }
    }

    /// Whether scopes are told apart.
    pub(super) fn are_governed(&self) -> bool {
        self.settings.is_some()
    }

    /// Takes a place for a push; where there is none, says when to look again.
    pub(super) fn enter(&mut self, now: Timestamp, name: &str) -> Result<(), Timestamp> {
        let Some(settings) = self.settings else { return Ok(()) };
        if !self.scopes.contains_key(name) {
            if self.scopes.len() >= SCOPES_MAX && !self.make_room(now) {
                return Err(now.plus(CROWDED));
            }
            let scope =
                Scope { governor: Governor::new(settings, None), in_flight: 0, last_slot_us: 0 };
            self.scopes.insert(name.to_owned(), scope);
        }
        let Some(scope) = self.scopes.get_mut(name) else { return Ok(()) };
        match scope.governor.allowance(now, scope.in_flight) {
            Allowance::Send(0) => Err(scope.slot(now, now)),
            Allowance::Send(_) => {
                scope.governor.sent(1);
                scope.in_flight += 1;
                Ok(())
            }
            Allowance::Paused(until) | Allowance::Paced(until) => Err(scope.slot(now, until)),
        }
    }

    /// Forgets the scopes nothing is under way in and that are not paused; where there are none, the one whose pause ends first, so that nobody
    /// keeps all others out by having many hosts paused. Returns whether there is room now.
    fn make_room(&mut self, now: Timestamp) -> bool {
        self.scopes
            .retain(|_, scope| scope.in_flight > 0 || scope.governor.paused_until(now).is_some());
        if self.scopes.len() >= SCOPES_MAX {
            let idle = self.scopes.iter().filter(|(_, scope)| scope.in_flight == 0);
            let first = idle.min_by_key(|(_, scope)| scope.governor.paused_until(now));
            if let Some(name) = first.map(|(name, _)| name.clone()) {
                self.scopes.remove(&name);
            }
        }
        self.scopes.len() < SCOPES_MAX
    }

    /// How many are paused.
    pub(super) fn paused(&self, now: Timestamp) -> usize {
        self.scopes.values().filter(|scope| scope.governor.paused_until(now).is_some()).count()
    }

    /// Gives the place back.
    pub(super) fn leave(&mut self, name: &str) {
        if let Some(scope) = self.scopes.get_mut(name) {
            scope.in_flight = scope.in_flight.saturating_sub(1);
        }
    }

    /// What we were refused for has been changed: pauses because of it end.
    pub(super) fn mended(&mut self, now: Timestamp) {
        for scope in self.scopes.values_mut() {
            if scope.governor.mended(now) {
                scope.last_slot_us = 0;
            }
        }
    }

    /// Takes note of an answer. Returns the end of the pause it begins.
    pub(super) fn heard(
        &mut self,
        now: Timestamp,
        (name, outcome): (&str, Outcome),
        rng: &mut Rng,
    ) -> Option<Timestamp> {
        self.scopes.get_mut(name)?.governor.heard(now, outcome, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::{SCOPES_MAX, Scopes};
    use reveille_mixer::{GovernorSettings, PauseSettings, Throttling};
    use reveille_model::{Duration, Outcome, Rng, Timestamp};

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);
    const SETTINGS: GovernorSettings = GovernorSettings {
        in_flight_max: 2,
        per_minute_max: 600_000,
        pause: PauseSettings::DEFAULT,
        throttling: Throttling::OfDevice,
    };

    #[test]
    fn one_scopes_pause_and_crowd_are_no_others() {
        let (mut scopes, mut rng) = (Scopes::new(Some(SETTINGS)), Rng::from_number(1));
        assert_eq!((scopes.enter(NOW, "a"), scopes.enter(NOW, "a")), (Ok(()), Ok(())));
        assert!(scopes.enter(NOW, "a").is_err(), "two are under way");
        assert_eq!(scopes.enter(NOW, "b"), Ok(()));
        let until = scopes.heard(NOW, ("a", Outcome::ConfigError), &mut rng).unwrap();
        scopes.leave("a");
        assert_eq!(scopes.enter(NOW, "a"), Err(until.max(NOW.plus(Duration::from_s(1)))));
        assert_eq!(scopes.enter(NOW, "b"), Ok(()));
    }

    #[test]
    fn what_is_mended_opens_each_scope_that_was_refused() {
        let (mut scopes, mut rng) = (Scopes::new(Some(SETTINGS)), Rng::from_number(1));
        for name in ["a", "b"] {
            assert_eq!(scopes.enter(NOW, name), Ok(()));
            scopes.heard(NOW, (name, Outcome::ConfigError), &mut rng);
            scopes.leave(name);
            assert!(scopes.enter(NOW, name).is_err());
        }
        scopes.mended(NOW);
        assert_eq!((scopes.enter(NOW, "a"), scopes.enter(NOW, "b")), (Ok(()), Ok(())));
        let next = scopes.enter(NOW, "a");
        assert_eq!(next, Err(NOW.plus(Duration::from_s(1))), "one is under way, and no queue left");
    }

    #[test]
    fn memory_is_bounded_and_idle_scopes_make_room() {
        let mut scopes = Scopes::new(Some(SETTINGS));
        for number in 0..SCOPES_MAX {
            assert_eq!(scopes.enter(NOW, &number.to_string()), Ok(()));
        }
        assert!(scopes.enter(NOW, "one more").is_err());
        scopes.leave("7");
        let later = NOW.plus(Duration::from_s(1));
        assert_eq!(scopes.enter(later, "one more"), Ok(()));
        assert_eq!(scopes.scopes.len(), SCOPES_MAX);
    }

    #[test]
    fn a_long_queue_comes_back_at_the_pace_of_its_scope() {
        let settings = GovernorSettings { per_minute_max: 6_000, ..SETTINGS };
        let mut scopes = Scopes::new(Some(settings));
        assert_eq!((scopes.enter(NOW, "a"), scopes.enter(NOW, "a")), (Ok(()), Ok(())));
        let slots: Vec<u64> =
            (0..1_000).map(|_| scopes.enter(NOW, "a").unwrap_err().since(NOW).as_ms()).collect();
        assert_eq!((slots[0], slots[100], slots[999]), (1_000, 2_000, 10_990));
    }

    #[test]
    fn many_paused_hosts_keep_nobody_out() {
        let (mut scopes, mut rng) = (Scopes::new(Some(SETTINGS)), Rng::from_number(1));
        for number in 0..SCOPES_MAX {
            let name = number.to_string();
            assert_eq!(scopes.enter(NOW, &name), Ok(()));
            scopes.heard(NOW, (&name, Outcome::ConfigError), &mut rng);
            scopes.leave(&name);
        }
        assert_eq!(scopes.paused(NOW), SCOPES_MAX);
        assert_eq!(scopes.enter(NOW, "a good one"), Ok(()));
    }

    #[test]
    fn without_bounds_of_their_own_scopes_are_not_told_apart() {
        let mut scopes = Scopes::new(None);
        assert!((0..10_000).all(|number| scopes.enter(NOW, &number.to_string()) == Ok(())));
        assert!(scopes.scopes.is_empty());
    }
}
