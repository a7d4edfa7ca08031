//! The order of a release, in memory.

use reveille_model::{Shuffle, Timestamp};

/// Most targets in one plan, 16 bytes each. A release of more is planned part by part, each a range of sort keys.
const PLAN_MAX: u64 = 2_000_000;
/// Targets in a row have numbers below two to this.
pub const INDEX_BITS: u32 = 13;

const _: () = assert!(reveille_model::limits::TARGETS_PER_ROW_MAX <= 1 << INDEX_BITS);

/// One target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its place in the batch.
    pub sort_key: i64,
    /// The number of its gathered row, and its own number there: where it stands.
    pub position: i64,
}

impl Entry {
    /// Of a target, or of a place between targets.
    pub const fn new(sort_key: i64, position: i64) -> Self {
        Self { sort_key, position }
    }

    /// The number of its gathered row.
    pub const fn row(self) -> i64 {
        self.position >> INDEX_BITS
    }

    /// Its number in that row.
    pub fn index(self) -> usize {
        usize::try_from(self.position & ((1 << INDEX_BITS) - 1)).unwrap_or_default()
    }
}

/// What a release is to go on with.
#[derive(Debug, Clone, Copy)]
pub struct ToPlan {
    /// Up to which window's end it goes.
    pub until: Timestamp,
    /// What its sort keys come from.
    pub shuffle: Shuffle,
    /// Its last target that is expanded, or the end of a part.
    pub done_to: Option<Entry>,
}

/// Targets in the order in which they leave.
#[derive(Debug, Clone)]
pub struct Plan {
    entries: Vec<Entry>,
    /// The greatest sort key of its range.
    key_max: i64,
}

impl Plan {
    /// Begins a plan of what comes next, where `total` targets were gathered altogether. To be told of each gathered row, in the order in which they get their sort
    /// keys; it does not change once their windows are closed.
    pub fn begin(what: ToPlan, total: u64) -> Planning {
        Planning::begin(what, part(total, what.done_to, PLAN_MAX))
    }

    /// The next few after a target or the end of a part, at most `limit`.
    pub fn after(&self, done_to: Option<Entry>, limit: usize) -> &[Entry] {
        let from = match done_to {
            Some(done_to) => self.entries.partition_point(|entry| *entry <= done_to),
            None => 0,
        };
        let to = (from + limit).min(self.entries.len());
        self.entries.get(from..to).unwrap_or_default()
    }

    /// Whether a target is its last one, or it has none.
    pub fn ends_with(&self, last: Option<Entry>) -> bool {
        last.is_none() || self.entries.last() == last.as_ref()
    }

    /// Whether nothing comes after it.
    pub const fn is_last(&self) -> bool {
        self.key_max == i64::MAX
    }

    /// Where it ends, whether a target stands there or not.
    pub const fn end(&self) -> Entry {
        Entry::new(self.key_max, i64::MAX)
    }
}

/// A plan that is being made.
pub struct Planning {
    entries: Vec<Entry>,
    key_max: i64,
    done_to: Option<Entry>,
    keys: Box<dyn Iterator<Item = i64> + Send>,
}

impl std::fmt::Debug for Planning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planning").field("key_max", &self.key_max).finish_non_exhaustive()
    }
}

impl Planning {
    fn begin(ToPlan { shuffle, done_to, .. }: ToPlan, key_max: i64) -> Self {
        Self { entries: Vec::new(), key_max, done_to, keys: Box::new(shuffle.keys()) }
    }

    /// The next gathered row, and how many targets it has.
    pub fn row(&mut self, number: i64, count: i64) {
        let positions = (number << INDEX_BITS)..(number << INDEX_BITS) + count;
        let (key_max, done_to) = (self.key_max, self.done_to);
        let here = self.keys.by_ref().zip(positions).map(|(key, at)| Entry::new(key, at));
        self.entries.extend(
            here.filter(|entry| entry.sort_key <= key_max && done_to.is_none_or(|to| *entry > to)),
        );
    }

    /// All of them were told.
    pub fn finish(self) -> Plan {
        let Self { mut entries, key_max, .. } = self;
        entries.sort_unstable();
        Plan { entries, key_max }
    }
}

/// The greatest sort key of the next part, where all sort keys are divided into as many equal ranges as keep a part below `part_max`.
fn part(total: u64, done_to: Option<Entry>, part_max: u64) -> i64 {
    let parts = total.div_ceil(part_max).max(1);
    let width = u64::MAX / parts;
    // How far a key is from the least.
    let along = |key: i64| key.cast_unsigned() ^ (1 << 63);
    let next = done_to.map_or(0, |done| along(done.sort_key) / width);
    let end = (next + 1).saturating_mul(width);
    // The last range ends where the keys do.
    if next + 1 >= parts { i64::MAX } else { (end ^ (1 << 63)).cast_signed() }
}

#[cfg(test)]
mod tests {
    use reveille_model::{Shuffle, Timestamp};

    use super::{Entry, Plan, Planning, ToPlan, part};

    const GATHERED: [(i64, i64); 3] = [(2, 1), (1, 40), (4, 59)];

    fn made(mut planning: Planning) -> Plan {
        for (number, count) in GATHERED {
            planning.row(number, count);
        }
        planning.finish()
    }

    #[test]
    fn a_release_in_parts_is_the_release_in_one() {
        let what = |done_to| ToPlan {
            until: Timestamp::from_ms(5),
            shuffle: Shuffle::from_seed([3; 32]),
            done_to,
        };
        let whole = made(Plan::begin(what(None), 100));
        assert!(whole.is_last());
        assert_eq!(whole.entries.len(), 100);
        assert!(whole.entries.is_sorted());
        let rows: std::collections::BTreeSet<_> =
            whole.entries.iter().map(|entry| (entry.row(), entry.index())).collect();
        assert_eq!(rows.len(), 100, "each target once");

        let (mut joined, mut parts, mut done_to): (Vec<Entry>, usize, _) = (Vec::new(), 0, None);
        loop {
            let plan = made(Planning::begin(what(done_to), part(100, done_to, 30)));
            // As if a crash came after some of each part.
            let entries = plan.after(done_to, if parts % 2 == 0 { 11 } else { 200 });
            joined.extend_from_slice(entries);
            let last = entries.last().copied();
            parts += 1;
            if plan.ends_with(last) {
                if plan.is_last() {
                    break;
                }
                done_to = Some(plan.end());
            } else {
                done_to = last.or(done_to);
            }
        }
        assert!(parts > 4, "{parts} parts");
        assert_eq!(joined, whole.entries);
    }

    #[test]
    fn a_plan_goes_on_behind_what_is_done() {
        let what = ToPlan {
            until: Timestamp::from_ms(5),
            shuffle: Shuffle::from_seed([3; 32]),
            done_to: None,
        };
        let plan = made(Plan::begin(what, 100));
        let first = plan.after(None, 30);
        let second = plan.after(first.last().copied(), 100);
        assert_eq!((first.len(), second.len()), (30, 70));
        assert!(plan.ends_with(second.last().copied()));
        assert!(!plan.ends_with(first.last().copied()));
        assert!(plan.after(second.last().copied(), 1).is_empty());
    }

    #[test]
    fn the_parts_cover_all_keys() {
        let mut done_to = None;
        let mut ends = Vec::new();
        loop {
            let end = part(10, done_to, 3);
            ends.push(end);
            if end == i64::MAX {
                break;
            }
            done_to = Some(Entry::new(end, i64::MAX));
        }
        assert_eq!(ends.len(), 4);
        assert!(ends.is_sorted());
        assert_eq!(part(10, Some(Entry::new(i64::MAX, 0)), 3), i64::MAX);
        assert_eq!(part(0, None, 3), i64::MAX);
    }
}
