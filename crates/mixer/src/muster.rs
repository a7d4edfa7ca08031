//! The end of a window: which cohorts leave, and who goes with them so that nobody leaves alone.

use std::collections::BTreeMap;

use reveille_model::{Cohort, CohortId, Duration, Marked, Rng, Timestamp};

use crate::pace::Budget;
use crate::schedule::Window;

/// What a batch is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MusterSettings {
    /// Each device is woken at most so often.
    pub budget: Budget,
    /// No batch has fewer devices, if there are as many.
    pub devices_min: usize,
    /// Users who wait for others to form a cohort with are woken at the latest so long after something happened to one of them, as far as the budget
    /// allows.
    pub nursery_deadline: Duration,
}

/// No batch is of fewer cohorts, if there are as many.
const COHORTS_MIN: usize = 2;

/// Why a cohort does not leave yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// It has spent its budget.
    Capped,
    /// Its users wait for others to form a cohort with.
    Nursery,
}

/// Whether a marked cohort leaves with the window that has ended now.
///
/// `window` is that window, or where windows differ one as long as the longest. Those before it and the next one are taken to be as long.
pub fn leaves(marked: &Marked, window: Window, settings: &MusterSettings) -> Result<(), Stays> {
    if marked.is_leaving {
        return Ok(());
    }
    if marked.is_provisional {
        let length = window.end.since(window.start);
        // It was accepted this early at the worst, and the next chance is this late.
        let accepted = marked.since.minus(length);
        if window.end.plus(length) <= accepted.plus(settings.nursery_deadline) {
            return Err(Stays::Nursery);
        }
    }
    if settings.budget.allows(marked.cohort.paid_at, window.end) {
        Ok(())
    } else {
        Err(Stays::Capped)
    }
}

/// Which strata of a batch want padding.
pub fn wants_padding(leaving: &[Cohort], settings: &MusterSettings) -> bool {
    strata(leaving).values().any(|so_far| so_far.wants(settings))
}

/// Draws the padding of a batch: cohorts nothing was accepted for, of the strata that leave, each as likely as any other. They are in no way
/// different from the others from here on.
///
/// `others` are the cohorts there are; those that leave already and those that have spent their budget are passed over.
pub fn fill(
    leaving: &[Cohort],
    others: &[Cohort],
    moment: Timestamp,
    settings: &MusterSettings,
    rng: &mut Rng,
) -> Vec<CohortId> {
    let mut padding = Vec::new();
    for (stratum, mut so_far) in strata(leaving) {
        let mut others: Vec<&Cohort> = others
            .iter()
            .filter(|other| other.stratum == stratum && other.users > 0)
            .filter(|other| settings.budget.allows(other.paid_at, moment))
            .filter(|other| leaving.iter().all(|each| each.id != other.id))
            .collect();
        while so_far.wants(settings) && !others.is_empty() {
            let drawn = others.swap_remove(rng.index(others.len()));
            so_far.add(drawn);
            padding.push(drawn.id);
        }
    }
    padding
}

/// What leaves of one stratum.
#[derive(Debug, Clone, Copy, Default)]
struct SoFar {
    cohorts: usize,
    devices: usize,
}

impl SoFar {
    fn add(&mut self, cohort: &Cohort) {
        self.cohorts += 1;
        self.devices += cohort.users;
    }

    fn wants(self, settings: &MusterSettings) -> bool {
        self.cohorts < COHORTS_MIN || self.devices < settings.devices_min
    }
}

fn strata(leaving: &[Cohort]) -> BTreeMap<i64, SoFar> {
    let mut strata: BTreeMap<i64, SoFar> = BTreeMap::new();
    for cohort in leaving {
        strata.entry(cohort.stratum).or_default().add(cohort);
    }
    strata
}

#[cfg(test)]
mod tests {
    use super::{MusterSettings, Stays, fill, leaves, wants_padding};
    use crate::pace::Budget;
    use crate::schedule::Window;
    use proptest::prelude::*;
    use reveille_model::{Cohort, CohortId, Duration, Marked, Rng, Timestamp};

    const SETTINGS: MusterSettings = MusterSettings {
        budget: Budget::per_day(48),
        devices_min: 32,
        nursery_deadline: Duration::from_s(600),
    };

    fn window(number: i64) -> Window {
        let start = Timestamp::from_ms(number * 120_000);
        Window { start, end: start.plus(Duration::from_s(120)) }
    }

    fn cohort(id: i64, stratum: i64, users: usize) -> Cohort {
        Cohort { id: CohortId(id), stratum, users, paid_at: None }
    }

    fn marked(cohort: Cohort) -> Marked {
        let since = window(10).end;
        Marked { cohort, is_provisional: false, is_leaving: false, since }
    }

    #[test]
    fn those_who_wait_are_woken_before_the_deadline() {
        let marked = Marked { is_provisional: true, ..marked(cohort(1, 1, 3)) };
        let left = (10..20).find(|number| leaves(&marked, window(*number), &SETTINGS).is_ok());
        let left = window(left.unwrap()).end;
        // Accepted as the window began, it waited for no more than ten minutes; another window would have been too long.
        assert!(left.since(window(10).start) <= SETTINGS.nursery_deadline);
        assert!(
            left.plus(Duration::from_s(120)).since(window(10).start) > SETTINGS.nursery_deadline
        );
        let hasty = MusterSettings { nursery_deadline: Duration::from_s(1), ..SETTINGS };
        assert_eq!(leaves(&marked, window(10), &hasty), Ok(()));
        assert_eq!(leaves(&marked, window(10), &SETTINGS), Err(Stays::Nursery));
    }

    #[test]
    fn a_cohort_without_budget_stays() {
        let paid_at = Some(window(1_000).end);
        let marked = marked(Cohort { paid_at, ..cohort(1, 1, 16) });
        assert_eq!(leaves(&marked, window(10), &SETTINGS), Err(Stays::Capped));
        assert_eq!(leaves(&marked, window(1_000), &SETTINGS), Ok(()));
    }

    #[test]
    fn every_cohort_is_as_likely_to_be_padding() {
        let others: Vec<Cohort> = (0..20).map(|id| cohort(id, 1, 16)).collect();
        let (mut rng, mut drawn) = (Rng::from_number(3), [0_u32; 20]);
        for _ in 0..9_500 {
            let padding = fill(&others[..1], &others, Timestamp::EPOCH, &SETTINGS, &mut rng);
            assert_eq!(padding.len(), 1);
            drawn[usize::try_from(padding[0].0).unwrap()] += 1;
        }
        assert_eq!(drawn[0], 0, "it leaves already");
        // Expected 500 each, standard deviation 22; five of them.
        assert!(drawn[1..].iter().all(|count| count.abs_diff(500) < 110), "{drawn:?}");
    }

    proptest! {
        #[test]
        fn no_stratum_leaves_alone_while_there_are_others(
            leaving in proptest::collection::vec((0_i64..3, 1_usize..20), 0..6),
            others in proptest::collection::vec((0_i64..4, 0_usize..20, any::<bool>()), 0..30),
            seed: u64,
        ) {
            let far = Some(Timestamp::from_ms(i64::MAX / 2));
            let leaving: Vec<Cohort> = (0_i64..).zip(&leaving)
                .map(|(id, (stratum, devices))| cohort(id, *stratum, *devices)).collect();
            let mut all = leaving.clone();
            all.extend((100_i64..).zip(&others).map(|(id, (stratum, devices, is_capped))| Cohort {
                paid_at: far.filter(|_| *is_capped),
                ..cohort(id, *stratum, *devices)
            }));
            let padding = fill(&leaving, &all, Timestamp::EPOCH, &SETTINGS, &mut Rng::from_number(seed));
            let of = |id: &CohortId| *all.iter().find(|each| each.id == *id).unwrap();
            let mut batch = leaving.clone();
            batch.extend(padding.iter().map(of));
            let mut ids: Vec<CohortId> = batch.iter().map(|each| each.id).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), batch.len(), "nobody twice");
            for each in &padding {
                prop_assert!(of(each).paid_at.is_none(), "the capped stay");
                prop_assert!(leaving.iter().any(|known| known.stratum == of(each).stratum));
            }
            // It is enough, or nobody is left.
            for stratum in leaving.iter().map(|each| each.stratum) {
                let of_it: Vec<Cohort> =
                    batch.iter().filter(|each| each.stratum == stratum).copied().collect();
                let is_left = all.iter().any(|each| {
                    each.stratum == stratum && each.paid_at.is_none() && each.users > 0
                        && !batch.contains(each)
                });
                prop_assert!(!(wants_padding(&of_it, &SETTINGS) && is_left));
            }
        }
    }
}
