//! How rows are read again that came from elsewhere.

use reveille_store::moving::{COUNTS, Cell, Column, Kind, Table};

use super::stored;

/// What a table is called here.
pub(super) const fn name(table: Table) -> &'static str {
    match table {
        Table::Keys => "secret_keys",
        other => other.as_str(),
    }
}

/// The columns in whose order a table is read, no two rows alike in them.
pub(super) const fn keys(table: Table) -> &'static [Column] {
    use Kind::{Bytes, Number};
    match table {
        Table::Keys => &[("name", Bytes)],
        Table::Subscriptions | Table::Unproven | Table::Idempotency => &[("id", Bytes)],
        Table::Suspects => &[("token_key", Bytes)],
        Table::Trails | Table::Inbox => &[("seq", Number)],
        Table::Scheduled => &[("trail", Number)],
        Table::Gathered => &[("place", Number)],
        Table::Releases | Table::State => &[("one", Number)],
        Table::Preferences => &[("user_name", Bytes), ("event_type", Bytes)],
        Table::LimitCounters => &[("event_type", Bytes), ("counter", Bytes)],
        Table::Seen => &[("user_name", Bytes), ("section", Number)],
        Table::Successors => &[("cohort", Number), ("successor", Number)],
        Table::Marks => &[("cohort", Number), ("window_end", Number)],
        _ => &[("id", Number)],
    }
}

/// The statement for a page: where each row stands, its columns, and what was made of them. After a place, if one is given.
pub(super) fn page(table: Table, after: Option<&[Cell]>) -> String {
    let names: Vec<String> = keys(table).iter().map(|(name, _)| format!("t.{name}")).collect();
    let columns = table.columns().iter().map(|column| expression(table, *column));
    let made = stored::made(table).iter().map(|name| made_expression(table, name));
    let all: Vec<String> = names.iter().cloned().chain(columns).chain(made).collect();
    let join = match table {
        // Nobody has counted since.
        Table::Trails => "LEFT JOIN trail_counts n ON n.trail = t.seq AND n.lane = 0",
        _ => "",
    };
    let place = match (after, names.as_slice()) {
        (Some(_), [first, second]) => {
            format!("WHERE {first} > ? OR ({first} = ? AND {second} > ?)")
        }
        (Some(_), [only, ..]) => format!("WHERE {only} > ?"),
        _ => String::new(),
    };
    let (all, names, name) = (all.join(", "), names.join(", "), name(table));
    format!("SELECT {all} FROM {name} t {join} {place} ORDER BY {names} LIMIT ?")
}

/// The values of a place, as the statement for the page after it takes them.
pub(super) fn bound(after: Vec<Cell>) -> Vec<Cell> {
    match after.as_slice() {
        [first, second] => vec![first.clone(), first.clone(), second.clone()],
        _ => after,
    }
}

/// Whether a column of a table that has counts is one: they are the last ones.
fn is_count(table: Table, column: &str) -> bool {
    let others = table.columns().len().saturating_sub(COUNTS);
    table.place_of(column).is_some_and(|place| place >= others)
}

fn made_expression(table: Table, column: &str) -> String {
    match (table, column) {
        // Said at both places.
        (Table::Wakeups, "held") => {
            "(SELECT h.token_key FROM held_wakeups h WHERE h.token_key = t.held AND h.wakeup = t.id)"
                .to_owned()
        }
        _ => format!("t.{column}"),
    }
}

fn expression(table: Table, (column, kind): Column) -> String {
    match (table, column) {
        (Table::Wakeups, "wake_key") => {
            "CASE WHEN t.token IS NULL OR t.nonce IS NOT NULL THEN t.wake_key END".to_owned()
        }
        (Table::Wakeups, "held") => {
            "(SELECT s.token FROM suspects s WHERE s.token_key = t.held)".to_owned()
        }
        (Table::State, "number") => "(SELECT MAX(l.number) FROM lanes l)".to_owned(),
        (Table::State, _) if is_count(table, column) => {
            format!("(SELECT CAST(SUM(l.{column}) AS SIGNED) FROM lanes l)")
        }
        (Table::Trails, _) if is_count(table, column) => format!("COALESCE(n.{column}, 0)"),
        _ if kind == Kind::Set => {
            "(SELECT c.name FROM credential_sets c WHERE c.id = t.set_id)".to_owned()
        }
        _ => format!("t.{column}"),
    }
}
