//! How often a cohort is woken: a budget a day. A cohort that has spent it leaves in longer windows of its own.

use reveille_model::{Duration, Timestamp};

const DAY_MS: u64 = 86_400_000;

/// How often each device may be woken a day.
///
/// Of the day's budget a quarter may be spent at once; the rest comes back evenly. So never more than the budget is spent in any 24 hours,
/// and a cohort that has nothing left leaves every [`Self::longer_window`]. All that has to be remembered of a cohort is one time: when it
/// will have paid for what it spent. It says nothing of single wake-ups, and nothing at all once that time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    per_day: u64,
}

impl Budget {
    /// At most so many wake-ups in any 24 hours; at least one.
    pub const fn per_day(per_day: u32) -> Self {
        Self { per_day: if per_day == 0 { 1 } else { per_day as u64 } }
    }

    const fn at_once(self) -> u64 {
        let quarter = self.per_day / 4;
        if quarter == 0 { 1 } else { quarter }
    }

    /// How long the windows are of a cohort that has spent its budget.
    pub const fn longer_window(self) -> Duration {
        let evenly = self.per_day - self.at_once();
        let evenly = if evenly == 0 { 1 } else { evenly };
        // Rounded up, so that a day never holds one more.
        Duration::from_ms(DAY_MS.div_ceil(evenly))
    }

    /// Whether a cohort that has paid at `paid_at` may leave at this moment.
    pub fn allows(self, paid_at: Option<Timestamp>, moment: Timestamp) -> bool {
        let owed = self.longer_window().as_ms() * (self.at_once() - 1);
        paid_at.is_none_or(|paid_at| paid_at.minus(Duration::from_ms(owed)) <= moment)
    }

    /// When it will have paid, once it has left at this moment.
    pub fn spend(self, paid_at: Option<Timestamp>, moment: Timestamp) -> Timestamp {
        paid_at.map_or(moment, |paid_at| paid_at.max(moment)).plus(self.longer_window())
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, DAY_MS};
    use proptest::prelude::*;
    use reveille_model::{Duration, Timestamp};

    /// When a cohort leaves that has something at each of these times, on a grid of two minutes.
    fn leaves(budget: Budget, mut wanted: Vec<i64>) -> Vec<i64> {
        wanted.sort_unstable();
        let (mut paid_at, mut left, mut moment) = (None, Vec::new(), 0);
        let mut wanted = wanted.into_iter().peekable();
        while wanted.peek().is_some() {
            moment += 120_000;
            let now = Timestamp::from_ms(moment);
            if wanted.peek().is_some_and(|at| *at < moment) && budget.allows(paid_at, now) {
                while wanted.next_if(|at| *at < moment).is_some() {}
                paid_at = Some(budget.spend(paid_at, now));
                left.push(moment);
            }
        }
        left
    }

    #[test]
    fn a_cohort_within_its_budget_leaves_at_once() {
        // Thirty a day, evenly.
        let wanted: Vec<i64> = (0..300).map(|number| number * 2_880_000 + 1).collect();
        let left = leaves(Budget::per_day(48), wanted.clone());
        assert_eq!(left.len(), wanted.len());
        assert!(wanted.iter().zip(&left).all(|(wanted, left)| left - wanted <= 120_000));
    }

    #[test]
    fn a_cohort_beyond_it_leaves_in_longer_windows() {
        let budget = Budget::per_day(48);
        assert_eq!(budget.longer_window(), Duration::from_s(2_400));
        let left = leaves(budget, (0..4_000).map(|number| number * 60_000).collect());
        let last = left.last_chunk::<20>().unwrap();
        assert!(last.windows(2).all(|pair| pair[1] - pair[0] == 2_400_000), "{last:?}");
    }

    proptest! {
        #[test]
        fn no_day_holds_more_than_the_budget(
            per_day in 1_u32..200, wanted in proptest::collection::vec(0_i64..400_000_000, 0..600),
        ) {
            let left = leaves(Budget::per_day(per_day), wanted);
            for (place, first) in left.iter().enumerate() {
                let day = first + DAY_MS.cast_signed();
                let within = left.iter().skip(place).take_while(|at| **at < day).count();
                prop_assert!(within <= per_day as usize, "{within} of {per_day}");
            }
        }
    }
}
