//! Fair shares of the outbox: whom to ask to wait when it fills up.
//!
//! A caller may have [`PARTS`] times as much waiting as there is room left (the dynamic threshold of Choudhury and Hahne, 1998). One alone gets
//! four fifths of the outbox, two get four ninths each, and a caller with little is let in as long as there is room at all.

use std::collections::BTreeMap;

use reveille_model::Timestamp;

/// How many times the room that is left a caller may have waiting.
pub const PARTS: u64 = 4;
/// Most windows that are told apart. What is older counts with the oldest of them.
const WINDOWS_MAX: usize = 256;

/// What callers have had accepted of what still waits. How much of it waits is known only together: what was accepted for windows of which nothing
/// waits any more is forgotten, and of the rest each caller is taken to have the same part as of what was accepted.
#[derive(Debug, Clone)]
pub struct Shares<C> {
    /// By the end of its window, and by caller; nobody is who came before us.
    accepted: BTreeMap<Timestamp, BTreeMap<Option<C>, u64>>,
}

impl<C: Ord + Copy> Shares<C> {
    /// Nothing is known of who has had accepted what is `waiting`.
    pub fn new(oldest: Timestamp, waiting: u64) -> Self {
        Self { accepted: [(oldest, [(None, waiting)].into())].into() }
    }

    /// Whether a caller may have more accepted, where so much is waiting of so much that may.
    pub fn allows(&self, caller: C, waiting: u64, waiting_max: u64) -> bool {
        let room = waiting_max.saturating_sub(waiting);
        let (theirs, all) = (self.of(Some(caller)), self.all());
        // theirs / all × waiting ≤ PARTS × room
        let (theirs, all) = (u128::from(theirs), u128::from(all));
        theirs * u128::from(waiting) <= all * u128::from(PARTS) * u128::from(room)
    }

    /// So many were accepted from a caller for a window.
    pub fn accepted(&mut self, caller: C, window_end: Timestamp, count: u64) {
        *self.accepted.entry(window_end).or_default().entry(Some(caller)).or_default() += count;
        while self.accepted.len() > WINDOWS_MAX {
            let Some((_, first)) = self.accepted.pop_first() else { break };
            let Some(mut next) = self.accepted.first_entry() else { break };
            for (caller, count) in first {
                *next.get_mut().entry(caller).or_default() += count;
            }
        }
    }

    /// Nothing waits of windows that ended before this.
    pub fn drained(&mut self, oldest: Timestamp) {
        self.accepted = self.accepted.split_off(&oldest);
    }

    fn of(&self, caller: Option<C>) -> u64 {
        self.accepted.values().filter_map(|window| window.get(&caller)).sum()
    }

    fn all(&self) -> u64 {
        self.accepted.values().flat_map(BTreeMap::values).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reveille_model::Timestamp;

    use super::{PARTS, Shares, WINDOWS_MAX};

    const MAX: u64 = 90_000;

    fn at(number: i64) -> Timestamp {
        Timestamp::from_ms(number)
    }

    /// Callers ask in turn for ten more each time, nothing leaves; returns how much each got.
    fn fill(callers: u8, from: Shares<u8>, waiting: u64) -> Vec<u64> {
        let (mut shares, mut got, mut waiting) = (from, vec![0; usize::from(callers)], waiting);
        loop {
            let mut is_full = true;
            for caller in 0..callers {
                if waiting < MAX && shares.allows(caller, waiting, MAX) {
                    shares.accepted(caller, at(5), 10);
                    got[usize::from(caller)] += 10;
                    waiting += 10;
                    is_full = false;
                }
            }
            if is_full {
                return got;
            }
        }
    }

    #[test]
    fn greedy_callers_leave_room() {
        let nobody = || Shares::new(at(0), 0);
        assert_eq!(fill(1, nobody(), 0), [72_010], "four fifths, and the last request");
        let two = fill(2, nobody(), 0);
        assert!(two.iter().all(|got| got.abs_diff(40_000) <= 10), "four ninths each: {two:?}");
        let seven = fill(7, nobody(), 0);
        assert!(seven.iter().all(|got| got.abs_diff(MAX * 4 / 29) <= 20), "{seven:?}");
    }

    #[test]
    fn whoever_has_little_is_let_in_beside_one_who_has_much() {
        let mut shares = Shares::new(at(0), 0);
        shares.accepted(1, at(5), 72_000);
        assert!(!shares.allows(1, 80_000, MAX));
        assert!(shares.allows(2, 80_000, MAX), "they have nothing yet");
        shares.accepted(2, at(5), 8_000);
        assert!(shares.allows(2, 80_000, MAX));
        assert!(!shares.allows(2, MAX - 10, MAX), "until there is nearly none");
    }

    #[test]
    fn what_was_there_before_is_nobodys() {
        let shares = Shares::new(at(0), 80_000);
        assert!(shares.allows(1, 80_000, MAX));
        let got = fill(2, shares, 80_000);
        assert!(got.iter().all(|got| *got > 3_500), "both get some: {got:?}");
    }

    #[test]
    fn what_has_left_counts_no_more() {
        let mut shares = Shares::new(at(0), 0);
        shares.accepted(1, at(5), 72_010);
        assert!(!shares.allows(1, 72_010, MAX));
        shares.accepted(2, at(6), 1_000);
        shares.drained(at(6));
        assert!(shares.allows(1, 1_000, MAX));
        shares.drained(at(7));
        assert_eq!(shares.all(), 0);
    }

    proptest! {
        #[test]
        fn nothing_is_forgotten_that_may_wait(
            accepted in proptest::collection::vec((0_u8..4, 0_i64..2_000, 0_u64..1_000), 0..700),
        ) {
            let mut shares = Shares::new(at(0), 7);
            for (caller, window, count) in &accepted {
                shares.accepted(*caller, at(*window), *count);
            }
            prop_assert!(shares.accepted.len() <= WINDOWS_MAX);
            prop_assert_eq!(shares.all(), 7 + accepted.iter().map(|(.., count)| count).sum::<u64>());
            let theirs: u64 =
                accepted.iter().filter(|(caller, ..)| *caller == 2).map(|(.., count)| count).sum();
            prop_assert_eq!(shares.of(Some(2)), theirs);
        }

        #[test]
        fn with_the_share_of_the_room_nobody_is_refused(
            waiting in 0_u64..1_000, max in 1_000_u64..2_000, theirs in 0_u64..1_000,
        ) {
            let mut shares = Shares::new(at(0), waiting);
            shares.accepted(1, at(1), theirs);
            // They have no more than that of what waits, for others have some of it.
            if theirs <= PARTS * (max - waiting) {
                prop_assert!(shares.allows(1, waiting, max));
            }
        }
    }
}
