//! A real `MariaDB` keeps the contract.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reveille_model::Timestamp;
use reveille_store::contract;
use reveille_store_mariadb::{MariaDbSettings, MariaDbStore};
use reveille_testkit::{Dir, Galera, MariaDb, needs_all};
use tokio::task::JoinSet;

const NOW: Timestamp = Timestamp::from_ms(1_000_000);

fn settings(url: String, dir: &Dir) -> MariaDbSettings {
    let mut settings = MariaDbSettings::new(url, dir.join("reveille.key"));
    settings.password = Some(MariaDb::PASSWORD.to_owned());
    settings.clock_skew_max = None;
    settings.connections_max = 4;
    settings
}

/// What is done in a transaction, as the server's log of all queries tells it: which commands came between its begin and its end.
fn commands_in_transactions(log: &str) -> BTreeMap<String, usize> {
    let (mut open, mut commands) = (BTreeSet::new(), BTreeMap::new());
    for line in log.lines().skip(1) {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default();
        let (thread, command, text) = (next(), next(), next());
        match text {
            "BEGIN" => assert!(open.insert(thread), "{thread} begins twice"),
            "COMMIT" | "ROLLBACK" => drop(open.remove(thread)),
            _ if open.contains(thread) => *commands.entry(command.to_owned()).or_default() += 1,
            _ => {}
        }
    }
    commands
}

/// On several masters some are woken once for nothing: what was accepted for a cohort they have left may be on its way.
const WOKEN_FOR_NOTHING: &str =
    "devices of one provider that are silent no longer have what was accepted";

/// Carries out all cases, each in a database of its own. Returns those that fail.
async fn broken(create: impl Fn(&str) -> String) -> Vec<&'static str> {
    let (dir, mut broken) = (Dir::new(), Vec::new());
    for (number, (name, case)) in contract::cases().into_iter().enumerate() {
        println!("case: {name}");
        let settings = settings(create(&format!("case{number}")), &dir);
        MariaDbStore::migrate(&settings).await.unwrap();
        let store = Arc::new(MariaDbStore::open(settings, NOW).await.unwrap());
        let mut running = JoinSet::new();
        running.spawn(case(Arc::clone(&store) as Arc<_>));
        // The others are tried all the same.
        if running.join_next().await.is_some_and(|done| done.is_err()) {
            broken.push(name);
        }
        if let Ok(store) = Arc::try_unwrap(store) {
            store.close().await;
        }
    }
    broken
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_keeps_the_contract() {
    let Some(server) = MariaDb::start().await else {
        println!("{}", needs_all("the store on a real MariaDB"));
        return;
    };
    assert_eq!(broken(|name| server.create(name)).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn galera_keeps_the_contract_and_prepares_nothing_in_a_transaction() {
    let Some(cluster) = Galera::start_alone().await else {
        println!("{}", needs_all("the store on a real Galera"));
        return;
    };
    cluster.run(0, "SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = ON;");
    assert_eq!(broken(|name| cluster.create(0, name)).await, [WOKEN_FOR_NOTHING]);
    let log = cluster.run(
        0,
        "SET GLOBAL general_log = OFF; SELECT thread_id, command_type, LEFT(argument, 20) FROM mysql.general_log WHERE user_host LIKE '%wiki%';",
    );
    let commands = commands_in_transactions(&log);
    let names: Vec<&str> = commands.keys().map(String::as_str).collect();
    assert_eq!(names, ["Query"], "{commands:?}");
}
