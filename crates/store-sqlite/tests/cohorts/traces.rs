//! Whoever has the database learns nothing of who was meant.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reveille_model::Notification;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::rig::{
    Dir, WINDOW, accept, deliver, event, expand, form, ids, lead, limited, open, register,
};

/// A database of 24 users in three cohorts, closed. Returns two users of one cohort.
async fn three_cohorts(file: &Path) -> (u32, u32) {
    let store = open(file).await;
    for number in 0..24 {
        register(&store, number).await;
    }
    form(&store).await;
    assert_eq!(ids(&store).await.len(), 3);
    store.close();
    fold(file);
    let raw = Connection::open(file).unwrap();
    let mut select = raw.prepare("SELECT cohort, user_name FROM members").unwrap();
    let mut of_cohort: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    let mut rows = select.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let name: String = row.get(1).unwrap();
        let number = name["user-".len()..][..5].parse().unwrap();
        of_cohort.entry(row.get(0).unwrap()).or_default().push(number);
    }
    let first = of_cohort.values().next().unwrap();
    (first[0], first[1])
}

/// Writes the log of a database back that nobody has open.
fn fold(file: &Path) {
    let raw = Connection::open(file).unwrap();
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

fn bytes(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap()
}

/// A day in the life of a database, up to some hour.
async fn live(file: &Path, hours: usize, notification: Notification) {
    let store = open(file).await;
    accept(&store, notification).await;
    if hours > 0 {
        let cohorts = ids(&store).await;
        reveille_store::Outbox::close(&store, WINDOW).await.unwrap();
        lead(&store, WINDOW, &cohorts[..2]).await;
    }
    if hours > 1 {
        expand(&store, WINDOW).await;
    }
    if hours > 2 {
        assert_eq!(deliver(&store, WINDOW).await.len(), 16);
    }
    store.close();
    fold(file);
}

#[tokio::test]
async fn not_one_byte_tells_who_was_meant() {
    let dir = Dir::new("bytes");
    let origin = dir.database("origin");
    let (one, another) = three_cohorts(&origin).await;
    for hours in 0..4 {
        let (left, right) = (dir.copy(&origin, "left"), dir.copy(&origin, "right"));
        live(&left, hours, event(1, one)).await;
        live(&right, hours, event(1, another)).await;
        assert_eq!(bytes(&left), bytes(&right), "hour {hours}");
        assert_ne!(bytes(&left), bytes(&origin), "something is there");
    }
    // The comparison sees what is known to be kept: how often a limit was counted for whom.
    let (left, right) = (dir.copy(&origin, "left"), dir.copy(&origin, "right"));
    live(&left, 0, limited(event(1, one))).await;
    live(&right, 0, limited(event(1, another))).await;
    assert_ne!(bytes(&left), bytes(&right));
}

/// Every table, row by row, without what is sealed.
fn dump(file: &Path) -> BTreeMap<String, Vec<Vec<Value>>> {
    let raw = Connection::open(file).unwrap();
    let names = |sql: &str| -> Vec<String> {
        let mut select = raw.prepare(sql).unwrap();
        let names = select.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    };
    let tables = names("SELECT name FROM sqlite_schema WHERE type = 'table'");
    tables
        .into_iter()
        .map(|table| {
            let columns = names(&format!("SELECT name FROM pragma_table_info('{table}')"));
            let mut select = raw.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
            let rows = select
                .query_map([], |row| (0..columns.len()).map(|column| row.get(column)).collect())
                .unwrap();
            (table, rows.map(Result::unwrap).collect())
        })
        .collect()
}

/// What a database shows of the cohorts it has.
fn shown(file: &Path) -> BTreeMap<String, Vec<Vec<Value>>> {
    let mut dump = dump(file);
    // Whose cohort is whose is no secret, but is not the question.
    for table in ["members", "subscriptions", "keys", "sealing", "sqlite_sequence"] {
        dump.remove(table);
    }
    dump
}

#[tokio::test]
async fn the_rows_of_padding_are_those_of_a_cohort_that_was_meant() {
    let dir = Dir::new("rows");
    let origin = dir.database("origin");
    let (one, _) = three_cohorts(&origin).await;
    let other = other_cohorts_user(&origin, one);
    // One is meant and another one is padding, or the other way round: the same two leave.
    for hours in 1..4 {
        let (left, right) = (dir.copy(&origin, "left"), dir.copy(&origin, "right"));
        live(&left, hours, event(1, one)).await;
        live(&right, hours, event(1, other)).await;
        assert_eq!(shown(&left), shown(&right), "hour {hours}");
    }
    // And inside one database no column of a wake-up or a mark tells the cohorts apart.
    let file = dir.copy(&origin, "inside");
    live(&file, 1, event(1, one)).await;
    assert_eq!(apart(&file, "marks", "cohort"), BTreeSet::from(["cohort".to_owned()]));
    let file = dir.copy(&origin, "inside");
    live(&file, 2, event(1, one)).await;
    let of_cohort = "(SELECT m.cohort FROM members m JOIN subscriptions s ON s.user_name = m.user_name WHERE s.id = t.subscription)";
    let own = ["id", "key", "sort_key", "subscription"].map(str::to_owned);
    assert_eq!(apart(&file, "wakeups", of_cohort), BTreeSet::from(own), "each device's own");
    // Planted: a row that says what it is.
    let raw = Connection::open(&file).unwrap();
    let planted = format!("UPDATE wakeups AS t SET trail = 1 WHERE {of_cohort} = 2");
    assert!(raw.execute(&planted, []).unwrap() > 0);
    assert!(apart(&file, "wakeups", of_cohort).contains("trail"));
}

/// A user of another cohort that leaves with the first one.
fn other_cohorts_user(file: &Path, one: u32) -> u32 {
    let raw = Connection::open(file).unwrap();
    let sql = concat!(
        "SELECT user_name FROM members WHERE cohort = (SELECT id FROM cohorts WHERE standing = 1 AND id <>",
        " (SELECT cohort FROM members WHERE user_name LIKE ?1) ORDER BY id LIMIT 1) LIMIT 1"
    );
    let name: String = raw.query_row(sql, [format!("user-{one:05}%")], |row| row.get(0)).unwrap();
    name["user-".len()..][..5].parse().unwrap()
}

/// The columns of a table in which rows of different cohorts differ.
fn apart(file: &Path, table: &str, cohort: &str) -> BTreeSet<String> {
    let raw = Connection::open(file).unwrap();
    let columns = format!("SELECT name FROM pragma_table_info('{table}')");
    let mut select = raw.prepare(&columns).unwrap();
    let columns: Vec<String> =
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut apart = BTreeSet::new();
    for column in columns {
        let sql = format!("SELECT {cohort}, \"{column}\" FROM {table} AS t ORDER BY 1, 2");
        let mut select = raw.prepare(&sql).unwrap();
        let mut of_cohort: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let value: Value = row.get(1).unwrap();
            of_cohort.entry(row.get(0).unwrap()).or_default().push(format!("{value:?}"));
        }
        assert!(of_cohort.len() > 1, "two cohorts have left");
        if of_cohort.values().collect::<BTreeSet<_>>().len() > 1 {
            apart.insert(column);
        }
    }
    apart
}

#[tokio::test]
async fn what_is_scheduled_names_nobody() {
    let dir = Dir::new("scheduled");
    let origin = dir.database("origin");
    let (one, another) = three_cohorts(&origin).await;
    let later = |of| {
        let mut later = event(1, of);
        later.deliver_after = Some(WINDOW);
        later
    };
    let (left, right) = (dir.copy(&origin, "left"), dir.copy(&origin, "right"));
    live(&left, 0, later(one)).await;
    live(&right, 0, later(another)).await;
    assert_eq!(bytes(&left), bytes(&right));
    let scheduled = &dump(&left)["scheduled"];
    assert_eq!(scheduled.len(), 1);
}
