//! Where a gathered row stands: its lane, and its number there.
//!
//! Rows of one lane are numbered in the order in which they are committed; rows of two lanes have no order. So whoever has looked is told by the last number of
//! each lane: what was committed before is cancelled, and nothing that came after.

/// Numbers in a lane are below two to this.
const NUMBER_BITS: u32 = 41;

const _: () = assert!(
    crate::engine::LANES <= 1 << (50 - NUMBER_BITS)
        && 50 + reveille_store::tables::INDEX_BITS <= 63,
    "a place and a target's number in its row fit into one number"
);

/// The place of a row.
pub(crate) const fn place(lane: i64, number: i64) -> i64 {
    (lane << NUMBER_BITS) | number
}

/// The place before the first row of a place's lane.
pub(crate) const fn first_place(of: i64) -> i64 {
    of >> NUMBER_BITS << NUMBER_BITS
}

/// Whether a user who has looked has seen what is in a row. `until` has the last place of each lane.
pub(crate) fn fetched(until: &[i64], row: i64) -> bool {
    until.iter().any(|last| last >> NUMBER_BITS == row >> NUMBER_BITS && row <= *last)
}

#[cfg(test)]
mod tests {
    use super::{fetched, place};

    #[test]
    fn what_was_there_before_is_fetched_lane_by_lane() {
        let until = [place(3, 10), place(511, 2)];
        assert!(fetched(&until, place(3, 10)) && fetched(&until, place(3, 1)));
        assert!(!fetched(&until, place(3, 11)), "it came after");
        assert!(!fetched(&until, place(4, 1)), "of that lane nothing was there");
        assert!(fetched(&until, place(511, 2)) && !fetched(&until, place(511, 3)));
        assert!(!fetched(&[], 0));
    }
}
