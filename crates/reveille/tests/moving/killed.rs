//! What comes of a move that is killed again and again.

use std::path::Path;

use reveille_store_mariadb::MariaDbError;
use reveille_store_sqlite::OpenError;
use serde_json::Value;

use crate::questions::{ask, compare, go_on};
use crate::rig::{Keys, Rig};
use crate::scene::{SIZES, fill, fill_with_cohorts};

/// After so many more rows each it is killed.
const ROWS: u64 = 400;

/// Moves, and kills it every now and then. Returns how often it was.
async fn move_and_kill(rig: &Rig) -> u32 {
    let (mut kills, mut until) = (0, ROWS);
    // Tables that tell how far it came are there before it begins.
    loop {
        let mut child = rig.begin();
        while rig.moved() < until {
            if child.try_wait().unwrap().is_some() {
                return kills;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        until = rig.moved() + ROWS;
        assert!(matches!(rig.open_file(&rig.file()), Err(OpenError::Moving | OpenError::Moved)));
        let opened = rig.open_database().await;
        assert!(matches!(opened, Err(MariaDbError::Moving)), "{opened:?}");
    }
}

/// No number that was ever given is given again, though its row is gone.
fn check_numbers(rig: &Rig, file: &Path) {
    let raw = rusqlite::Connection::open(file).unwrap();
    for table in ["trails", "inbox", "deaths"] {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
        let greatest: u64 = raw.query_row(sql, [table], |row| row.get(0)).unwrap();
        let sql = format!(
            "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'wiki' AND TABLE_NAME = '{table}';"
        );
        let next: u64 = rig.database.run(&sql).lines().nth(1).unwrap().parse().unwrap();
        assert!(next > greatest, "{table}: {next} after {greatest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_answers_after_it_was_moved_as_before() {
    let Some(rig) = Rig::start(Keys::One).await else { return };
    let store = rig.open_file(&rig.file()).unwrap();
    fill(&store).await;
    store.close();
    let copy = rig.copy();
    rig.migrate();
    let kills = move_and_kill(&rig).await;
    println!("killed {kills} times");
    assert!(kills >= 3, "{kills}");
    let done = rig.run(&["--json"]);
    assert!(done.status.success(), "{done:?}");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["limit_counters_dropped"], 0);

    assert!(matches!(rig.open_file(&rig.file()), Err(OpenError::Moved)));
    let before = rig.open_file(&copy).unwrap();
    let after = rig.open_database().await.unwrap();
    compare(&ask(&before).await, &ask(&after).await);
    check_numbers(&rig, &copy);
    let (before, after) = (go_on(&before, None).await, go_on(&after, None).await);
    compare(&before, &after);
    assert!(after.iter().any(|answer| answer.contains("alone-4")), "it was asked for everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn cohorts_stay_together_and_another_key_seals_them() {
    let Some(rig) = Rig::start(Keys::Two).await else { return };
    let store = rig.open_file(&rig.file()).unwrap();
    fill_with_cohorts(&store).await;
    store.close();
    let copy = rig.copy();
    rig.migrate();
    let done = rig.run(&["--json"]);
    assert!(done.status.success(), "{done:?}");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(report["limit_counters_dropped"].as_u64().unwrap() > 0, "{report}");
    assert!(report["rows"]["marks"].as_u64().unwrap() > 0, "{report}");

    let before = rig.open_file(&copy).unwrap();
    let after = rig.open_database().await.unwrap();
    compare(&ask(&before).await, &ask(&after).await);
    let (before, after) = (go_on(&before, Some(SIZES)).await, go_on(&after, Some(SIZES)).await);
    // Nobody knows any more how many somebody got.
    let told = |answers: &[String]| -> Vec<String> {
        answers.iter().filter(|answer| !answer.starts_with("limited")).cloned().collect()
    };
    compare(&told(&before), &told(&after));
}
