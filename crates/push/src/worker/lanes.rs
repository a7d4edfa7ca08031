//! The scopes of one credential set: a topic, or a host that a client chose. Trouble in one is no other's.

use std::collections::BTreeMap;

use reveille_mixer::{Allowance, Governor, GovernorSettings};
use reveille_model::{Duration, Outcome, Rng, Timestamp};

/// Most scopes that are governed at once. Beyond it a wake-up for another one waits a moment.
const LANES_MAX: usize = 4_096;
/// How long it waits.
const CROWDED: Duration = Duration::from_s(1);

/// A governor for each scope.
pub(super) struct Lanes {
    settings: Option<GovernorSettings>,
    lanes: BTreeMap<String, Lane>,
}

struct Lane {
    governor: Governor,
    in_flight: usize,
}

impl Lanes {
    /// Lanes with these bounds each; without settings there is but one, which the set's own governor looks after.
    pub(super) fn new(settings: Option<GovernorSettings>) -> Self {
        Self { settings, lanes: BTreeMap::new() }
    }

    /// Takes a place for a push; where there is none, says when to look again.
    pub(super) fn enter(&mut self, now: Timestamp, scope: &str) -> Result<(), Timestamp> {
        let Some(settings) = self.settings else { return Ok(()) };
        if !self.lanes.contains_key(scope) {
            if self.lanes.len() >= LANES_MAX {
                self.lanes.retain(|_, lane| {
                    lane.in_flight > 0 || lane.governor.paused_until(now).is_some()
                });
            }
            if self.lanes.len() >= LANES_MAX {
                return Err(now.plus(CROWDED));
            }
            let lane = Lane { governor: Governor::new(settings, None), in_flight: 0 };
            self.lanes.insert(scope.to_owned(), lane);
        }
        let Some(lane) = self.lanes.get_mut(scope) else { return Ok(()) };
        match lane.governor.allowance(now, lane.in_flight) {
            Allowance::Send(0) => Err(now.plus(CROWDED)),
            Allowance::Send(_) => {
                lane.governor.sent(1);
                lane.in_flight += 1;
                Ok(())
            }
            Allowance::Paused(until) | Allowance::Paced(until) => Err(until),
        }
    }

    /// Gives the place back.
    pub(super) fn leave(&mut self, scope: &str) {
        if let Some(lane) = self.lanes.get_mut(scope) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
    }

    /// Takes note of an answer. Returns the end of the pause it begins.
    pub(super) fn heard(
        &mut self,
        now: Timestamp,
        (scope, outcome): (&str, Outcome),
        rng: &mut Rng,
    ) -> Option<Timestamp> {
        self.lanes.get_mut(scope)?.governor.heard(now, outcome, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::{LANES_MAX, Lanes};
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
        let (mut lanes, mut rng) = (Lanes::new(Some(SETTINGS)), Rng::from_number(1));
        assert_eq!((lanes.enter(NOW, "a"), lanes.enter(NOW, "a")), (Ok(()), Ok(())));
        assert!(lanes.enter(NOW, "a").is_err(), "two are under way");
        assert_eq!(lanes.enter(NOW, "b"), Ok(()));
        let until = lanes.heard(NOW, ("a", Outcome::ConfigError), &mut rng).unwrap();
        lanes.leave("a");
        assert_eq!(lanes.enter(NOW, "a"), Err(until));
        assert_eq!(lanes.enter(NOW, "b"), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_idle_scopes_make_room() {
        let mut lanes = Lanes::new(Some(SETTINGS));
        for number in 0..LANES_MAX {
            assert_eq!(lanes.enter(NOW, &number.to_string()), Ok(()));
        }
        assert!(lanes.enter(NOW, "one more").is_err());
        lanes.leave("7");
        let later = NOW.plus(Duration::from_s(1));
        assert_eq!(lanes.enter(later, "one more"), Ok(()));
        assert_eq!(lanes.lanes.len(), LANES_MAX);
    }

    #[test]
    fn without_bounds_of_their_own_scopes_are_not_told_apart() {
        let mut lanes = Lanes::new(None);
        assert!((0..10_000).all(|number| lanes.enter(NOW, &number.to_string()) == Ok(())));
        assert!(lanes.lanes.is_empty());
    }
}
