//! The push server on `MariaDB`: intake beside SQLite's, claiming and settling by itself, and two nodes beside one.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::delivery::drained;
use super::http::metric;
use super::intake::body;
use super::report::{Limit, Peer, Row, median};
use super::rig::{Config, More, Provider, Rig, Running, free_port, h2load, start};
use crate::process::{output, root, run, say};
use crate::tools;

const RUNS: usize = 3;
const SECONDS: &str = "5";
const CONNECTIONS: &str = "512";
/// Wake-ups of one release that are claimed and settled.
const WAKEUPS: usize = 100_000;
const WORKERS: &str = "4";
/// Wake-ups of one window that are delivered.
const DELIVERED: usize = 60_000;
const WINDOW_S: u32 = 10;
/// Of the user that testkit makes.
const PASSWORD: &str = "secret@/:";
const LISTENS: &str = "the push server is listening";

/// A server, which ends with its input.
struct Database {
    child: Child,
    urls: Vec<String>,
}

impl Drop for Database {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It may have ended by itself.
        drop(self.child.wait());
    }
}

impl Database {
    fn start() -> Result<Self, String> {
        let mut command = Command::new(root().join("target/release/database"));
        command.env("REVEILLE_TEST_MARIADB", tools::mariadb()?);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("cannot start MariaDB: {error}"))?;
        let mut database = Self { child, urls: Vec::new() };
        let said = database.child.stderr.take().ok_or("no output")?;
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            database.urls.extend(line.strip_prefix("database ").map(str::to_owned));
            if database.urls.len() == 12 {
                return Ok(database);
            }
        }
        Err("MariaDB has not started".to_owned())
    }

    /// The address of a database that is empty.
    fn next(&mut self) -> Result<String, String> {
        self.urls.pop().ok_or_else(|| "no database is left".to_owned())
    }

    /// Lets a configuration have a database of its own.
    fn give(&mut self, rig: &Rig, config: &Config) -> Result<(), String> {
        let to_text = |error: std::io::Error| error.to_string();
        std::fs::write(config.file.with_file_name("db.password"), PASSWORD).map_err(to_text)?;
        let text = std::fs::read_to_string(&config.file).map_err(to_text)?;
        let store = format!("store = \"{}\"\nkey_file = \"reveille.key\"", self.next()?);
        let text = text.replace("store = \"sqlite:reveille.db\"", &store);
        let section = "[push.mariadb]\npassword_file = \"db.password\"\n\n[push.mix]";
        let text = text.replacen("[push.mix]", section, 1);
        std::fs::write(&config.file, text).map_err(to_text)?;
        let file = config.file.to_string_lossy();
        output(Command::new(&rig.reveille).args(["migrate", "--config", &file])).map(drop)
    }
}

pub(super) fn measure(rig: &Rig) -> Result<Vec<Row>, String> {
    let example =
        ["build", "--release", "--quiet", "-p", "reveille-store-mariadb", "--example", "waking"];
    run(Command::new("cargo").args(example).current_dir(root()))?;
    let mut database = Database::start()?;
    let mut rows = vec![intake(rig, &mut database)?];
    rows.extend(waking(&mut database)?);
    rows.push(two_nodes(rig, &mut database)?);
    Ok(rows)
}

/// One token a request, on `MariaDB` and on SQLite, one after the other.
fn intake(rig: &Rig, database: &mut Database) -> Result<Row, String> {
    let (mut ours, mut sqlite, mut grouped) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=RUNS {
        for is_mariadb in [false, true] {
            let config = rig.config(3_600, &More::default())?;
            if is_mariadb {
                database.give(rig, &config)?;
            }
            let push = rig.push(&config)?;
            let body = body(&config, 1)?;
            let url = format!("http://127.0.0.1:{}/v1/message/fcm", config.intake);
            let (body, kind) = (body.to_string_lossy(), "content-type: application/json");
            let words = ["--h1", "-c", CONNECTIONS, "-D", SECONDS, "-d", &body, "-H", kind, &url];
            let rate = h2load(&words)?;
            if is_mariadb {
                let metrics = config.metrics()?;
                let count = |name| metric(&metrics, name);
                let commands = count("reveille_store_commands_total");
                grouped.push(commands / count("reveille_store_commits_total"));
                ours.push(rate);
            } else {
                sqlite.push(rate);
            }
            drop(push);
        }
        say(&format!("intake, run {run}: {:?}, SQLite {:?}", ours.last(), sqlite.last()));
    }
    let grouped = median(grouped);
    Ok(Row {
        what: "on MariaDB: intake, 1 token a request".to_owned(),
        figure: median(ours),
        unit: "requests/s",
        limit: None,
        peer: Some(Peer {
            name: "SQLite",
            figure: median(sqlite),
            ratio: Some(Limit::AtLeast(0.4)),
        }),
        note: format!(
            "median of {RUNS}, {CONNECTIONS} connections, each answer after its commit (innodb_flush_log_at_trx_commit = 1), {grouped:.0} requests a commit; server, database and load generator on the same two cores"
        ),
    })
}

/// The store alone: claimed and settled, in batches.
fn waking(database: &mut Database) -> Result<Vec<Row>, String> {
    let (mut rates, mut bytes) = (Vec::new(), [const { Vec::new() }; 3]);
    let folder = root().join("target/bench-mariadb");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let keys = folder.join("keys");
    for run in 1..=RUNS {
        let mut waking = Command::new(root().join("target/release/examples/waking"));
        let words = [&database.next()?, PASSWORD, &keys.to_string_lossy()];
        let printed = output(waking.args(words).args([&WAKEUPS.to_string(), WORKERS]))?;
        let numbers: Result<Vec<f64>, _> = printed.split_whitespace().map(str::parse).collect();
        let Ok([rate, of_each @ ..]) = numbers.as_deref() else {
            return Err("waking prints no rate".to_owned());
        };
        rates.push(*rate);
        for (all, one) in bytes.iter_mut().zip(of_each) {
            all.push(*one);
        }
        say(&format!("claimed and settled, run {run}: {:?}", rates.last()));
    }
    let mut rows = vec![Row {
        what: "on MariaDB: claimed and settled".to_owned(),
        figure: median(rates),
        unit: "/s",
        limit: Some(Limit::AtLeast(10_000.0)),
        peer: None,
        note: format!(
            "median of {RUNS} times {WAKEUPS} wake-ups by {WORKERS} workers in batches of 1,024, each on disk; the database on the same two cores"
        ),
    }];
    let what = ["gathered", "waiting", "from acceptance to end, of the server's log"];
    rows.extend(what.into_iter().zip(bytes).map(|(what, bytes)| {
        Row {
            what: format!("on MariaDB: bytes of a wake-up, {what}"),
            figure: median(bytes),
            unit: "bytes",
            limit: None,
            peer: None,
            note:
                "the same runs; tokens of 156 bytes, 5,000 in a request; tables with their indexes"
                    .to_owned(),
        }
    }));
    Ok(rows)
}

/// As much as one node delivers, and two.
fn two_nodes(rig: &Rig, database: &mut Database) -> Result<Row, String> {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for run in 1..=RUNS {
        for nodes in [1, 2] {
            let config = rig.config(WINDOW_S, &More::default())?;
            database.give(rig, &config)?;
            let sandbox = rig.sandbox(&config)?;
            let first = rig.push(&config)?;
            let second = if nodes == 2 { Some(another(rig, &config)?) } else { None };
            config.fill(Provider::Fcm, (0, DELIVERED))?;
            let rate = drained(&config, DELIVERED)?;
            let rates = if nodes == 1 { &mut one } else { &mut two };
            rates.push(rate);
            drop((first, second, sandbox));
        }
        say(&format!("delivery, run {run}: two nodes {:?}, one {:?}", two.last(), one.last()));
    }
    Ok(Row {
        what: "on MariaDB: delivery by two nodes".to_owned(),
        figure: median(two),
        unit: "/s",
        limit: None,
        peer: Some(Peer {
            name: "one node",
            figure: median(one),
            ratio: Some(Limit::AtLeast(0.9)),
        }),
        note: format!(
            "median of {RUNS} times {DELIVERED} wake-ups of one window to FCM, over TLS, each settled on disk; nodes, database and the look-alike provider on the same two cores"
        ),
    })
}

/// Another node of the same configuration, at other ports.
fn another(rig: &Rig, config: &Config) -> Result<Running, String> {
    let text = std::fs::read_to_string(&config.file).map_err(|error| error.to_string())?;
    let text = [config.intake, config.public].into_iter().try_fold(text, |text, port| {
        Ok::<_, String>(text.replace(&format!(":{port}\""), &format!(":{}\"", free_port()?)))
    })?;
    let file = config.file.with_file_name("second.toml");
    std::fs::write(&file, text).map_err(|error| error.to_string())?;
    let words = ["push", "--config", &file.to_string_lossy()];
    start(Path::new(&rig.reveille), &words, LISTENS)
}
