//! Windows: intervals on a wall-clock grid that every node computes alike.
//!
//! Never a timer armed by a message, never a size trigger: when a window ends depends on the wall clock and, where lengths are drawn, on
//! a key created once in the store. Nothing a caller does moves it.

use reveille_model::limits::SPREAD_WINDOWS_MAX;
use reveille_model::{Duration, Rng, Spread, Timestamp};

const DAY_MS: i64 = 86_400_000;

/// How windows follow one another.
#[derive(Clone, PartialEq, Eq)]
pub enum Schedule {
    /// All of one length, counted from the Unix epoch.
    Fixed {
        /// The length. Not zero.
        length: Duration,
    },
    /// Each of a length drawn anew, alike wherever the key is the same. The draw starts afresh at each UTC midnight.
    Drawn {
        /// The shortest length. Not zero.
        min: Duration,
        /// The longest length, at least `min`.
        max: Duration,
        /// What makes the draw unguessable: created once, kept in the store.
        key: [u8; 32],
    },
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed { length } => write!(f, "Fixed({length:?})"),
            Self::Drawn { min, max, .. } => write!(f, "Drawn({min:?}..={max:?})"),
        }
    }
}

/// One window: from its start up to, not including, its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it. What was collected leaves then.
    pub end: Timestamp,
}

impl Window {
    /// Whether a moment falls in it.
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.start <= moment && moment < self.end
    }
}

impl Schedule {
    /// No window is longer.
    pub const fn longest(&self) -> Duration {
        match self {
            Self::Fixed { length } => *length,
            Self::Drawn { max, .. } => *max,
        }
    }

    /// The windows over which wake-ups are spread that may leave from `moment` on: as many as fit into that time, evenly apart, and none where it is no
    /// longer than two windows.
    ///
    /// Each place among them comes round again after `over`, whenever it is asked for. So who is asked for a little later has the same windows before
    /// them, but for those that are over.
    pub fn spread(&self, moment: Timestamp, over: Duration) -> Spread {
        let fitting = over.as_ms() / self.longest().as_ms().max(1);
        let places = fitting.min(SPREAD_WINDOWS_MAX as u64);
        if places < 2 {
            return Spread::default();
        }
        let (over_ms, start) = (over.as_ms().cast_signed(), self.window(moment).start.as_ms());
        let places = (0..places).map(|place| {
            // The next time that is so long after a multiple of `over`.
            let offset = (over.as_ms() * place / places).cast_signed();
            let ahead = (offset - start).rem_euclid(over_ms);
            self.window(Timestamp::from_ms(start + ahead)).end
        });
        Spread(places.collect())
    }

    /// The window `moment` falls in.
    ///
    /// Drawn windows of a day fill it exactly. They are never longer than `max`, and shorter than `min` only where the rest of the day
    /// cannot be cut otherwise.
    pub fn window(&self, moment: Timestamp) -> Window {
        match self {
            Self::Fixed { length } => {
                let length_ms = length.as_ms().cast_signed();
                let start = moment.as_ms().div_euclid(length_ms) * length_ms;
                Window {
                    start: Timestamp::from_ms(start),
                    end: Timestamp::from_ms(start).plus(*length),
                }
            }
            Self::Drawn { min, max, key } => {
                let day = moment.as_ms().div_euclid(DAY_MS);
                let midnight = (day + 1) * DAY_MS;
                let mut rng = Rng::from_seed_and_stream(*key, day.cast_unsigned());
                let mut start = day * DAY_MS;
                loop {
                    let rest = (midnight - start).cast_unsigned();
                    let length = draw(min.as_ms(), max.as_ms(), rest, &mut rng);
                    let end = start + length.cast_signed();
                    if moment.as_ms() < end {
                        return Window {
                            start: Timestamp::from_ms(start),
                            end: Timestamp::from_ms(end),
                        };
                    }
                    start = end;
                }
            }
        }
    }
}

/// The length of the next window when `rest` is left of the day: from 1 to `max`, and from `min` where that leaves no stub.
fn draw(min: u64, max: u64, rest: u64, rng: &mut Rng) -> u64 {
    if rest <= max {
        return rest;
    }
    if rest < 2 * min {
        // Too long for one, too short for two: two halves.
        return rest / 2;
    }
    rng.between(min, max.min(rest - min))
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, Schedule, Window};
    use proptest::prelude::*;
    use reveille_model::{Duration, Timestamp};

    fn drawn(min_s: u32, max_s: u32, key: u8) -> Schedule {
        Schedule::Drawn {
            min: Duration::from_s(min_s),
            max: Duration::from_s(max_s),
            key: [key; 32],
        }
    }

    #[test]
    fn fixed_windows_lie_on_the_grid_of_the_epoch() {
        let schedule = Schedule::Fixed { length: Duration::from_s(120) };
        let window = schedule.window(Timestamp::from_ms(241_000));
        assert_eq!(window.start, Timestamp::from_ms(240_000));
        assert_eq!(window.end, Timestamp::from_ms(360_000));
        assert_eq!(schedule.window(window.end).start, window.end);
        assert_eq!(schedule.window(Timestamp::from_ms(-1)).end, Timestamp::EPOCH);
    }

    #[test]
    fn drawn_windows_fill_the_day_and_differ_from_one_another() {
        let schedule = drawn(60, 180, 7);
        let (mut moment, mut lengths) = (Timestamp::EPOCH, std::collections::BTreeSet::new());
        for _ in 0..2_000 {
            if moment.as_ms() >= DAY_MS {
                break;
            }
            let window = schedule.window(moment);
            assert_eq!(window.start, moment);
            let length = window.end.since(window.start);
            assert!(length <= Duration::from_s(180));
            lengths.insert(length);
            moment = window.end;
        }
        assert_eq!(moment.as_ms(), DAY_MS, "the schedule starts anew at midnight");
        assert!(lengths.len() > 100, "each window is drawn anew");
    }

    #[test]
    fn another_key_or_day_draws_another_schedule() {
        let at = |key, day| {
            drawn(60, 180, key).window(Timestamp::from_ms(day * DAY_MS)).end.as_ms() % DAY_MS
        };
        assert_eq!(at(1, 5), at(1, 5));
        assert_ne!(at(1, 5), at(2, 5));
        assert_ne!(at(1, 5), at(1, 6));
    }

    #[test]
    fn what_is_spread_leaves_evenly_and_where_it_would_have_a_little_earlier() {
        let schedule = Schedule::Fixed { length: Duration::from_s(120) };
        let over = Duration::from_s(1_200);
        let (first, later) = (Timestamp::from_ms(6_060_000), Timestamp::from_ms(6_300_000));
        let spread = schedule.spread(first, over);
        let ends: std::collections::BTreeSet<_> = spread.0.iter().copied().collect();
        assert_eq!(ends.len(), 10, "a window each");
        assert_eq!(ends.first(), Some(&schedule.window(first).end));
        assert!(spread.last(first) <= first.plus(over).plus(Duration::from_s(120)));
        // Two windows later those two come round again at the end, and the others are where they were.
        let again = schedule.spread(later, over);
        let moved: Vec<_> = spread.0.iter().zip(&again.0).filter(|(was, is)| was != is).collect();
        assert_eq!(moved.len(), 2, "{moved:?}");
        assert!(moved.iter().all(|(was, is)| was.plus(over) == **is));
    }

    #[test]
    fn what_fits_into_few_windows_is_not_spread() {
        let schedule = Schedule::Fixed { length: Duration::from_s(120) };
        let at = Timestamp::from_ms(6_060_000);
        assert!(schedule.spread(at, Duration::from_s(239)).0.is_empty());
        assert_eq!(schedule.spread(at, Duration::from_s(240)).0.len(), 2);
        assert_eq!(schedule.spread(at, Duration::from_s(86_400)).0.len(), 64);
    }

    proptest! {
        #[test]
        fn what_is_spread_leaves_in_time(
            moment in -3 * DAY_MS..3 * DAY_MS, min_s in 300_u32..4_000, wider_s in 0_u32..4_000, over_s in 0_u32..80_000, key: u8,
        ) {
            let schedule = drawn(min_s, min_s + wider_s, key);
            let (moment, over) = (Timestamp::from_ms(moment), Duration::from_s(over_s));
            for end in schedule.spread(moment, over).0 {
                prop_assert!(end > moment);
                prop_assert!(end <= moment.plus(over).plus(schedule.longest()));
                prop_assert_eq!(schedule.window(Timestamp::from_ms(end.as_ms() - 1)).end, end);
            }
        }

        #[test]
        fn a_moment_lies_in_exactly_one_window(
            moment in -3 * DAY_MS..3 * DAY_MS, min_s in 300_u32..4_000, wider_s in 0_u32..4_000, key: u8,
        ) {
            let schedule = drawn(min_s, min_s + wider_s, key);
            let moment = Timestamp::from_ms(moment);
            let window = schedule.window(moment);
            prop_assert!(window.contains(moment));
            prop_assert!(window.end.since(window.start) <= Duration::from_s(min_s + wider_s));
            prop_assert_eq!(schedule.window(window.start), window);
            let last = Timestamp::from_ms(window.end.as_ms() - 1);
            prop_assert_eq!(schedule.window(last), window);
            let next: Window = schedule.window(window.end);
            prop_assert_eq!(next.start, window.end);
        }
    }
}
