//! How rows are read that go elsewhere.

use reveille_store::moving::{Column, Kind, Table};

/// What stands for the event type of what a version scheduled that knew of none. Nobody has said anything about it.
const NO_EVENT_TYPE: &str = "scheduled-by-a-former-version";

/// What a table is called here.
pub(super) const fn name(table: Table) -> &'static str {
    match table {
        Table::Releases => "release",
        other => other.as_str(),
    }
}

/// The columns in whose order a table is read, no two rows alike in them, and which of them are texts.
const fn keys(table: Table) -> &'static [(&'static str, bool)] {
    match table {
        Table::Keys => &[("name", true)],
        Table::Trails | Table::Inbox => &[("seq", false)],
        Table::Idempotency | Table::Suspects => &[("key", false)],
        Table::Scheduled => &[("trail", false)],
        Table::Releases | Table::State => &[("one", false)],
        Table::Preferences => &[("user_name", true), ("event_type", true)],
        Table::LimitCounters => &[("event_type", true), ("key", false)],
        Table::Seen => &[("user_name", true), ("section", false)],
        Table::Successors => &[("cohort", false), ("successor", false)],
        Table::Marks => &[("cohort", false), ("window_end", false)],
        _ => &[("id", false)],
    }
}

/// How many values say where a row stands.
pub(super) const fn keys_count(table: Table) -> usize {
    keys(table).len()
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// At the first row.
    Start,
    /// After the row that stands at `?2`, and so on.
    Place,
}

/// The statement for a page: where each row stands, then its columns. `?1` is how many.
pub(super) fn page(table: Table, from: From) -> String {
    let names: Vec<String> = keys(table).iter().map(|(name, _)| format!("t.{name}")).collect();
    let columns = table.columns().iter().map(|column| expression(table, *column));
    let columns: Vec<String> = names.iter().cloned().chain(columns).collect();
    let names = names.join(", ");
    let after = if from == From::Place {
        let place = |((_, is_text), number): (&(&str, bool), usize)| {
            // Texts and blobs are never alike.
            if *is_text { format!("CAST(?{number} AS TEXT)") } else { format!("?{number}") }
        };
        let places: Vec<String> = keys(table).iter().zip(2..).map(place).collect();
        format!("WHERE ({names}) > ({})", places.join(", "))
    } else {
        String::new()
    };
    let (columns, name) = (columns.join(", "), name(table));
    format!("SELECT {columns} FROM {name} t {after} ORDER BY {names} LIMIT ?1")
}

fn expression(table: Table, (column, kind): Column) -> String {
    let known_as = match (table, column) {
        (Table::Keys, "sealed")
        | (Table::Idempotency, "id")
        | (Table::LimitCounters, "counter")
        | (Table::Members, "member") => "key",
        // All of them come to stand in the first lane, where a place is a number.
        (Table::Gathered, "place") => "id",
        (Table::Subscriptions, "fetched") => "fetched_until",
        (Table::Scheduled, "event_type") => {
            return format!("COALESCE(t.event_type, '{NO_EVENT_TYPE}')");
        }
        (Table::Wakeups, "wake_key") => {
            return "CASE WHEN t.token IS NULL OR t.nonce IS NOT NULL THEN t.key END".to_owned();
        }
        (Table::Wakeups, "held") => {
            return "(SELECT s.token FROM suspects s WHERE s.key = t.held)".to_owned();
        }
        (Table::State, "number") => {
            return "MAX(t.fetched_until, COALESCE((SELECT MAX(id) FROM gathered), 0))".to_owned();
        }
        _ if kind == Kind::Set => {
            return "(SELECT c.name FROM credential_sets c WHERE c.id = t.set_id)".to_owned();
        }
        _ => column,
    };
    format!("t.{known_as}")
}
