//! Who is woken together: waiting users become cohorts, and a cohort that has shrunk to its floor goes.
//!
//! It is formed of users that are activated together, and retired whole: of those who left, and of those who stay, there are as many as the floor
//! says. Nobody is moved to another one.

use reveille_model::{CohortSizes, Rng};

/// Deals waiting groups into new cohorts, by a draw of who comes together. A group is one user, or the survivors of a cohort that was retired,
/// who stay together.
///
/// Takes how many users each group has; returns the groups of each cohort, by their place in `groups`. Nothing while all of them are fewer
/// than a cohort takes. Then nobody is left over, and the cohorts are as even as groups allow.
pub fn form(groups: &[usize], sizes: CohortSizes, rng: &mut Rng) -> Vec<Vec<usize>> {
    let total: usize = groups.iter().sum();
    let mut places: Vec<usize> = (0..groups.len()).collect();
    rng.shuffle(&mut places);
    // The largest first, each into the smallest cohort: what comes last evens out what came first.
    let size_of = |place: usize| groups.get(place).copied().unwrap_or_default();
    places.sort_by_key(|place| std::cmp::Reverse(size_of(*place)));
    for count in (1..=total / sizes.form.max(1)).rev() {
        let mut smallest: std::collections::BinaryHeap<_> =
            (0..count).map(|cohort| std::cmp::Reverse((0_usize, cohort))).collect();
        let mut dealt: Vec<Vec<usize>> = vec![Vec::new(); count];
        for place in &places {
            let Some(std::cmp::Reverse((size, cohort))) = smallest.pop() else { break };
            if let Some(members) = dealt.get_mut(cohort) {
                members.push(*place);
            }
            smallest.push(std::cmp::Reverse((size + size_of(*place), cohort)));
        }
        if smallest.iter().all(|std::cmp::Reverse((size, _))| *size >= sizes.form) {
            return dealt;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::form;
    use proptest::prelude::*;
    use reveille_model::{CohortSizes, Rng};

    const SIZES: CohortSizes = CohortSizes::DEFAULT;

    #[test]
    fn fewer_than_a_cohort_wait() {
        let mut rng = Rng::from_number(1);
        assert_eq!(form(&[1; 15], SIZES, &mut rng), Vec::<Vec<usize>>::new());
        assert_eq!(form(&[1; 16], SIZES, &mut rng).len(), 1);
        assert_eq!(form(&[8, 1, 1, 1, 1, 1, 1], SIZES, &mut rng), Vec::<Vec<usize>>::new());
        assert_eq!(form(&[8, 8], SIZES, &mut rng).len(), 1, "survivors find one another");
    }

    #[test]
    fn who_comes_together_is_drawn() {
        // Whether the first two of 32 come together: in 15 of 31 draws.
        let mut rng = Rng::from_number(2);
        let together = (0..2_000)
            .filter(|_| {
                let cohorts = form(&[1; 32], SIZES, &mut rng);
                cohorts.iter().any(|cohort| cohort.contains(&0) && cohort.contains(&1))
            })
            .count();
        // Expected 968, standard deviation 22; five of them.
        assert!(together.abs_diff(968) < 110, "{together}");
    }

    proptest! {
        #[test]
        fn everybody_is_dealt_once_and_no_cohort_is_small(
            groups in proptest::collection::vec(1_usize..=8, 0..200), seed: u64,
        ) {
            let cohorts = form(&groups, SIZES, &mut Rng::from_number(seed));
            let total: usize = groups.iter().sum();
            prop_assert_eq!(cohorts.is_empty(), total < SIZES.form);
            if !cohorts.is_empty() {
                let mut dealt: Vec<usize> = cohorts.concat();
                dealt.sort_unstable();
                prop_assert_eq!(dealt, (0..groups.len()).collect::<Vec<_>>());
            }
            for cohort in &cohorts {
                let size: usize = cohort.iter().map(|place| groups[*place]).sum();
                prop_assert!(size >= SIZES.form);
                // Not twice what is needed, and a group.
                prop_assert!(size < 2 * SIZES.form + 8);
            }
        }
    }
}
