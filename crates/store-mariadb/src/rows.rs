//! Statements about many rows. The server prepares a statement for each number of rows, and remembers few of them: so there are only numbers that are
//! powers of two.

use sqlx::AssertSqlSafe;

/// Most rows in one statement that writes.
const ROWS_MAX: usize = 256;

/// Parts of a list, each as long as a power of two, the long ones first.
pub(crate) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = rows.len().min(ROWS_MAX);
        if length == 0 {
            return None;
        }
        let (part, rest) = rows.split_at(1 << length.ilog2());
        rows = rest;
        Some(part)
    })
}

/// A list for `IN`, as long as a power of two: the last one is named again, which is no matter there.
pub(crate) fn padded<T: Clone>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    if let Some(last) = values.last().cloned() {
        values.resize(values.len().next_power_of_two(), last);
    }
    values
}

/// A statement of ours whose `{}` stands for so many of `item`, with commas between.
pub(crate) fn listing(sql: &str, item: &str, count: usize) -> AssertSqlSafe<String> {
    between(sql, item, ", ", count)
}

/// A statement of ours whose `{}` stands for rows that are known: each a `SELECT` of the columns, the first of which names them.
pub(crate) fn known_rows(sql: &str, columns: &[&str], count: usize) -> AssertSqlSafe<String> {
    let named: Vec<String> = columns.iter().map(|column| format!("? AS {column}")).collect();
    let item = format!("SELECT {}", named.join(", "));
    between(sql, &item, " UNION ALL ", count)
}

fn between(sql: &str, item: &str, between: &str, count: usize) -> AssertSqlSafe<String> {
    // Nothing but texts of ours: values are bound.
    AssertSqlSafe(sql.replacen("{}", &vec![item; count].join(between), 1))
}

#[cfg(test)]
mod tests {
    use super::{chunks, listing, padded};

    #[test]
    fn numbers_of_rows_are_powers_of_two() {
        let rows: Vec<u32> = (0..700).collect();
        let lengths: Vec<usize> = chunks(&rows).map(<[u32]>::len).collect();
        assert_eq!(lengths, [256, 256, 128, 32, 16, 8, 4]);
        assert_eq!(chunks(&rows).flatten().count(), 700);
        assert_eq!(chunks(&[] as &[u32]).count(), 0);
        assert_eq!(padded([1, 2, 3]), [1, 2, 3, 3]);
        assert_eq!(padded([7; 4]).len(), 4);
        assert!(padded(Vec::<u8>::new()).is_empty());
    }

    #[test]
    fn a_statement_lists_its_rows() {
        assert_eq!(listing("x IN ({})", "?", 2).0, "x IN (?, ?)");
    }
}
