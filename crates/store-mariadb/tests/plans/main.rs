//! No statement reads a whole table that grows: what the contract makes this store say, word by word, is explained by a real `MariaDB` whose tables
//! are full.
//!
//! `REVEILLE_TEST_ROWS` says how full; `cargo xtask bench plans` takes ten million rows.
#![cfg(test)]

mod filling;
mod statements;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use reveille_model::Timestamp;
use reveille_store::contract;
use reveille_store_mariadb::{MariaDbSettings, MariaDbStore};
use reveille_testkit::{Dir, MariaDb, needs_all, rows};
use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, Row as _};
use tokio::task::JoinSet;

use self::filling::{FULL, fill};
use self::statements::{Statement, said};

const NOW: Timestamp = Timestamp::from_ms(1_000_000);
/// Rows of each table where nothing else is said.
const ROWS: u64 = 20_000;
/// So many rows are no table.
const FEW: u64 = 300;
/// What is asked seldom, and why it may.
const SELDOM: &[(&str, &str)] = &[
    ("UPDATE marks SET leaves", "a start after which users are woken in cohorts no longer"),
    (
        "LOCATE(",
        "erasure of a user: whom a scheduled notification names is packed in its row, and an index of names would be another copy of them",
    ),
];

fn settings(url: String, dir: &Dir) -> MariaDbSettings {
    let mut settings = MariaDbSettings::new(url, dir.join("reveille.key"));
    settings.password = Some(MariaDb::PASSWORD.to_owned());
    settings.clock_skew_max = None;
    settings.connections_max = 4;
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_reads_a_whole_table() {
    let log = ["--general-log=ON", "--log-output=TABLE", "--innodb-buffer-pool-size=4G"];
    let Some(server) = MariaDb::start_with(&log).await else {
        println!("{}", needs_all("the plans of statements on a real MariaDB"));
        return;
    };
    let (rows, dir) = (rows().unwrap_or(ROWS), Dir::new());
    say_all(&server, &dir).await;
    let mut connection = connect(&server).await;
    let statements = said(&mut connection).await;
    assert!(statements.len() > 150, "{} statements are not all there are", statements.len());

    let full = settings(server.create("full"), &dir);
    MariaDbStore::migrate(&full).await.unwrap();
    run(&mut connection, "SET GLOBAL general_log = OFF").await;
    run(&mut connection, "USE full").await;
    fill(&mut connection, rows).await;
    let mut scans: BTreeMap<String, String> = BTreeMap::new();
    for statement in &statements {
        for step in explain(&mut connection, statement).await {
            if step.reads_all(statement) && !is_seldom(statement) {
                scans.insert(statement.text.clone(), format!("{step:?}"));
            }
        }
    }
    for (statement, step) in &scans {
        say(&format!("{step}\n    {statement}"));
    }
    println!("plans: {} {} of statements on {rows} rows", scans.len(), statements.len());
    assert!(scans.is_empty(), "{} of {} statements", scans.len(), statements.len());
}

/// The checker itself: what does read whole tables is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_reads_a_whole_table_is_found() {
    let Some(server) = MariaDb::start().await else {
        println!("{}", needs_all("the plans of statements on a real MariaDB"));
        return;
    };
    let dir = Dir::new();
    MariaDbStore::migrate(&settings(server.create("full"), &dir)).await.unwrap();
    let mut connection = connect(&server).await;
    run(&mut connection, "USE full").await;
    fill(&mut connection, 2_000).await;
    for planted in [
        "SELECT id FROM wakeups WHERE expires_at <= 5",
        "SELECT COUNT(*) FROM subscriptions",
        "DELETE FROM gathered WHERE trail = 3",
        "UPDATE subscriptions SET topic = NULL WHERE topic = 'x'",
        "SELECT w.id FROM wakeups w JOIN subscriptions s ON s.topic = w.topic WHERE w.id = 7",
    ] {
        let planted = Statement::of(planted);
        let steps = explain(&mut connection, &planted).await;
        assert!(steps.iter().any(|step| step.reads_all(&planted)), "{planted:?}: {steps:?}");
    }
    let fine = Statement::of("SELECT id FROM subscriptions WHERE user_name = 'user-5'");
    let steps = explain(&mut connection, &fine).await;
    assert!(!steps.iter().any(|step| step.reads_all(&fine)), "{steps:?}");
}

fn is_seldom(statement: &Statement) -> bool {
    SELDOM.iter().any(|(words, _)| statement.text.contains(words))
}

fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").unwrap();
}

/// Lets the contract make the store say what it can.
async fn say_all(server: &MariaDb, dir: &Dir) {
    for (number, (name, case)) in contract::cases().into_iter().enumerate() {
        let settings = settings(server.create(&format!("case{number}")), dir);
        MariaDbStore::migrate(&settings).await.unwrap();
        let store = Arc::new(MariaDbStore::open(settings, NOW).await.unwrap());
        let mut running = JoinSet::new();
        running.spawn(case(Arc::clone(&store) as Arc<_>));
        running.join_next().await.unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Ok(store) = Arc::try_unwrap(store) {
            store.close().await;
        }
    }
}

async fn connect(server: &MariaDb) -> MySqlConnection {
    server.run("GRANT ALL ON *.* TO wiki@'127.0.0.1'");
    let options: MySqlConnectOptions = server.url().parse().unwrap();
    MySqlConnection::connect_with(&options.password(MariaDb::PASSWORD)).await.unwrap()
}

async fn run(connection: &mut MySqlConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// How the server would go through one table.
#[derive(Debug)]
struct Step {
    table: String,
    /// `ALL`, `range`, `ref`, …
    how: String,
    /// How many rows it would look at.
    rows: u64,
}

impl Step {
    fn read(row: &MySqlRow) -> Self {
        let text = |name: &str| {
            let bytes: Option<Vec<u8>> = row.try_get_unchecked(name).unwrap_or_default();
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        Self {
            table: text("table").unwrap_or_default(),
            how: text("type").unwrap_or_default(),
            rows: text("rows").and_then(|rows| rows.parse().ok()).unwrap_or_default(),
        }
    }

    /// Whether all rows are looked at of a table that grows, or all of an index is.
    fn reads_all(&self, statement: &Statement) -> bool {
        let called = |table: &str| format!("{table} {} ", self.table);
        let is_full = FULL
            .iter()
            .any(|table| self.table == *table || statement.text.contains(&called(table)));
        // Whoever takes the first of them looks at an index in order, and stops.
        is_full && ["ALL", "index"].contains(&self.how.as_str()) && self.rows > FEW
    }
}

async fn explain(connection: &mut MySqlConnection, statement: &Statement) -> Vec<Step> {
    let sql = AssertSqlSafe(format!("EXPLAIN {}", statement.text));
    let explained = sqlx::raw_sql(sql).fetch_all(connection).await;
    let rows = explained.unwrap_or_else(|error| panic!("{}: {error}", statement.text));
    rows.iter().map(Step::read).collect()
}
