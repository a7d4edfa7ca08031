//! How many, how many of them badly, and how long it took: of the last ten minutes.

use std::collections::VecDeque;

use reveille_model::{Duration, Timestamp};

/// How finely it is remembered.
const SLOT: Duration = Duration::from_s(10);
/// How many slots are remembered: ten minutes.
const SLOTS: usize = 60;
/// How many of them the figures are of that say how it is now: a minute.
const RECENT_SLOTS: usize = 6;
/// Upper bounds of what is told apart of durations, in seconds. Longer ones are told as longer.
const BOUNDS_S: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Counts of a slot.
#[derive(Debug, Clone, Default)]
struct Slot {
    /// The how-many-th since 1970.
    number: i64,
    count: u64,
    bad: u64,
    /// How many took up to each bound, and longer than all of them.
    took: [u64; BOUNDS_S.len() + 1],
}

/// How something went that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Went {
    Well,
    Badly,
}

/// A ring of slots. Its memory does not grow.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    slots: VecDeque<Slot>,
    total: u64,
}

/// The last minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Recent {
    pub(crate) per_s: f64,
    pub(crate) count: u64,
    pub(crate) bad: u64,
    /// A half took no longer than this, in seconds; nothing where none was timed, infinity beyond the last bound.
    pub(crate) median_s: Option<f64>,
    /// And 99 in a hundred.
    pub(crate) p99_s: Option<f64>,
}

fn slot_of(now: Timestamp) -> i64 {
    now.as_ms().div_euclid(i64::try_from(SLOT.as_ms()).unwrap_or(i64::MAX))
}

impl Meter {
    /// Takes note of some that happened now.
    pub(crate) fn add(&mut self, now: Timestamp, count: u64) {
        self.slot(now).count += count;
        self.total += count;
    }

    /// Takes note of one that was timed.
    pub(crate) fn time(&mut self, now: Timestamp, seconds: f64, went: Went) {
        let place = BOUNDS_S.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS_S.len());
        let slot = self.slot(now);
        slot.count += 1;
        slot.bad += u64::from(went == Went::Badly);
        if let Some(took) = slot.took.get_mut(place) {
            *took += 1;
        }
        self.total += 1;
    }

    fn slot(&mut self, now: Timestamp) -> &mut Slot {
        let number = slot_of(now);
        // What comes after the clock was set back counts with the last one.
        let is_new = self.slots.back().is_none_or(|last| last.number < number);
        if is_new && self.slots.len() == SLOTS {
            self.slots.pop_front();
        }
        if is_new {
            self.slots.push_back(Slot { number, ..Slot::default() });
        }
        let place = self.slots.len().saturating_sub(1);
        self.slots.range_mut(place..).next().expect("there is a last one")
    }

    /// Since the start.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// The last minute, and the counts of all slots.
    pub(crate) fn seen(&self, now: Timestamp) -> (Recent, Vec<u64>) {
        (self.recent(now), self.counts(now))
    }

    /// How many there were in each slot, the oldest first, the one under way last.
    pub(crate) fn counts(&self, now: Timestamp) -> Vec<u64> {
        let end = slot_of(now);
        let mut counts = vec![0; SLOTS];
        for slot in &self.slots {
            let back = usize::try_from(end - slot.number).ok();
            if let Some(place) = back.and_then(|back| (SLOTS - 1).checked_sub(back))
                && let Some(count) = counts.get_mut(place)
            {
                *count = slot.count;
            }
        }
        counts
    }

    /// The last minute, with the slot under way.
    pub(crate) fn recent(&self, now: Timestamp) -> Recent {
        let first = slot_of(now) - i64::try_from(RECENT_SLOTS).unwrap_or_default();
        let mut sum = Slot::default();
        for slot in self.slots.iter().filter(|slot| slot.number > first) {
            sum.count += slot.count;
            sum.bad += slot.bad;
            for (total, took) in sum.took.iter_mut().zip(slot.took) {
                *total += took;
            }
        }
        let (count, bad) = (sum.count, sum.bad);
        let seconds = crate::metrics::float(SLOT.as_s() * RECENT_SLOTS as u64);
        let per_s = crate::metrics::float(count) / seconds;
        Recent {
            per_s,
            count,
            bad,
            median_s: quantile(&sum.took, 50),
            p99_s: quantile(&sum.took, 99),
        }
    }
}

/// The bound up to which so many in a hundred took.
fn quantile(took: &[u64], percent: u64) -> Option<f64> {
    let all: u64 = took.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = (all * percent).div_ceil(100);
    let mut seen = 0;
    for (count, bound) in took.iter().zip(BOUNDS_S) {
        seen += count;
        if seen >= wanted {
            return Some(bound);
        }
    }
    Some(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::{Meter, SLOTS, Went};
    use reveille_model::Timestamp;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(1_000_000_000 + seconds * 1_000)
    }

    #[test]
    fn the_last_minute_is_told_apart_from_what_was_before() {
        let mut meter = Meter::default();
        meter.add(at(0), 600);
        assert_eq!(meter.recent(at(9)).count, 600);
        assert!((meter.recent(at(9)).per_s - 10.0).abs() < 1e-9);
        assert_eq!(meter.recent(at(60)).count, 0);
        assert_eq!(meter.total(), 600);
    }

    #[test]
    fn bounds_say_how_long_it_took() {
        let mut meter = Meter::default();
        assert_eq!(meter.recent(at(0)).median_s, None);
        for each in 0..100 {
            let went = if each == 0 { Went::Badly } else { Went::Well };
            meter.time(at(0), if each < 98 { 0.004 } else { 99.0 }, went);
        }
        let recent = meter.recent(at(0));
        assert_eq!((recent.median_s, recent.p99_s), (Some(0.005), Some(f64::INFINITY)));
        assert_eq!(recent.bad, 1);
    }

    #[test]
    fn memory_does_not_grow_and_gaps_are_zero() {
        let mut meter = Meter::default();
        for slot in 0..1_000 {
            meter.add(at(slot * 20), 1);
        }
        assert_eq!(meter.slots.len(), SLOTS);
        let counts = meter.counts(at(999 * 20 + 10));
        assert_eq!(counts.len(), SLOTS);
        assert_eq!(counts.iter().sum::<u64>(), 30, "every other slot has one");
        // A clock that is set back.
        meter.add(at(5), 1);
        assert_eq!(meter.slots.len(), SLOTS);
    }
}
