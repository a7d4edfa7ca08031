//! The order of a release, in memory.

use reveille_model::{Shuffle, Timestamp};
use rusqlite::Connection;

/// Most targets in one plan, 16 bytes each. A release of more is planned part by part, each a range of sort keys.
const PLAN_MAX: u64 = 2_000_000;
/// Targets in a row have numbers below this.
const INDEX_BITS: u32 = 13;

const _: () = assert!(reveille_model::limits::TARGETS_PER_ROW_MAX <= 1 << INDEX_BITS);

/// One target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(super) sort_key: i64,
    /// The id of its gathered row, and its number there: where it stands.
    position: i64,
}

impl Entry {
    pub(super) fn new(sort_key: i64, position: i64) -> Self {
        Self { sort_key, position }
    }

    pub(super) fn position(self) -> i64 {
        self.position
    }

    pub(super) fn row(self) -> i64 {
        self.position >> INDEX_BITS
    }

    pub(super) fn index(self) -> usize {
        usize::try_from(self.position & ((1 << INDEX_BITS) - 1)).unwrap_or_default()
    }
}

/// What a release is to go on with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ToPlan {
    pub(super) until: Timestamp,
    pub(super) shuffle: Shuffle,
    /// Its last target that is expanded, or the end of a part.
    pub(super) done_to: Option<Entry>,
}

/// Targets in the order in which they leave.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    entries: Vec<Entry>,
    next: usize,
    /// The greatest sort key of its range.
    key_max: i64,
}

impl Plan {
    /// Plans what comes next. Reads an index only, so that it may run beside the writer: what closed windows gathered does not change.
    pub(super) fn make(connection: &Connection, what: ToPlan) -> rusqlite::Result<Self> {
        let until = what.until.as_ms();
        let total: i64 = connection
            .prepare_cached("SELECT COALESCE(SUM(count), 0) FROM gathered WHERE window_end <= ?1")?
            .query_row([until], |row| row.get(0))?;
        Self::make_of(connection, what, part(total.unsigned_abs(), what.done_to, PLAN_MAX))
    }

    fn make_of(
        connection: &Connection,
        ToPlan { until, shuffle, done_to }: ToPlan,
        key_max: i64,
    ) -> rusqlite::Result<Self> {
        let mut entries = Vec::new();
        let mut keys = shuffle.keys();
        let mut select = connection.prepare_cached(
            "SELECT id, count FROM gathered WHERE window_end <= ?1 ORDER BY window_end, id",
        )?;
        let mut rows = select.query([until.as_ms()])?;
        while let Some(row) = rows.next()? {
            let (id, count): (i64, i64) = (row.get(0)?, row.get(1)?);
            let positions = (id << INDEX_BITS)..(id << INDEX_BITS) + count;
            let here = keys.by_ref().zip(positions).map(|(key, at)| Entry::new(key, at));
            entries.extend(
                here.filter(|entry| {
                    entry.sort_key <= key_max && done_to.is_none_or(|to| *entry > to)
                }),
            );
        }
        entries.sort_unstable();
        Ok(Self { entries, next: 0, key_max })
    }

    /// The next few, at most `limit`.
    pub(super) fn take(&mut self, limit: usize) -> &[Entry] {
        let from = self.next.min(self.entries.len());
        self.next = (from + limit).min(self.entries.len());
        self.entries.get(from..self.next).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next >= self.entries.len()
    }

    /// Whether nothing comes after it.
    pub(super) fn is_last(&self) -> bool {
        self.key_max == i64::MAX
    }

    /// Where it ends, whether a target stands there or not.
    pub(super) fn end(&self) -> Entry {
        Entry::new(self.key_max, i64::MAX)
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
    use rusqlite::Connection;

    use super::{Entry, Plan, ToPlan, part};

    fn gathered() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE gathered (id INTEGER PRIMARY KEY, window_end INTEGER, count INTEGER);
                 INSERT INTO gathered VALUES (1, 5, 40), (2, 4, 1), (3, 9, 7), (4, 5, 59);",
            )
            .unwrap();
        connection
    }

    #[test]
    fn a_release_in_parts_is_the_release_in_one() {
        let connection = gathered();
        let what = |done_to| ToPlan {
            until: Timestamp::from_ms(5),
            shuffle: Shuffle::from_seed([3; 32]),
            done_to,
        };
        let whole = Plan::make(&connection, what(None)).unwrap();
        assert!(whole.is_last());
        assert_eq!(whole.entries.len(), 100, "what is gathered for later windows is not in it");
        assert!(whole.entries.is_sorted());
        let rows: std::collections::BTreeSet<_> =
            whole.entries.iter().map(|entry| (entry.row(), entry.index())).collect();
        assert_eq!(rows.len(), 100, "each target once");

        let (mut joined, mut parts, mut done_to): (Vec<Entry>, usize, _) = (Vec::new(), 0, None);
        loop {
            let mut plan =
                Plan::make_of(&connection, what(done_to), part(100, done_to, 30)).unwrap();
            // As if a crash came after some of each part.
            let entries = if parts % 2 == 0 { plan.take(11) } else { plan.take(200) };
            joined.extend_from_slice(entries);
            done_to = entries.last().copied().or(done_to);
            parts += 1;
            if plan.is_empty() {
                if plan.is_last() {
                    break;
                }
                done_to = Some(plan.end());
            }
        }
        assert!(parts > 4, "{parts} parts");
        assert_eq!(joined, whole.entries);
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
