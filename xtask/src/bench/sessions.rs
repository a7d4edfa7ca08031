//! The session store: durable writes against bare SQLite, reads against a handler that does nothing, both at once, and memory under churn.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::Length;
use super::http::{Client, metric};
use super::intake::figure;
use super::report::{Limit, Peer, Row, median};
use super::rig::{Rig, Running, free_port, h2load, now, start};
use crate::process::{output, root, run, say};

const RUNS: usize = 3;
const SECONDS: u32 = 4;
/// Entries there are, each of 32 bytes of key and 128 of value.
pub(super) const KEYS: u64 = 100_000;
const VALUE: &str = "v";
const VALUE_BYTES: usize = 128;

/// A session store under measurement.
pub(super) struct Store {
    server: Running,
    pub(super) port: u16,
    pub(super) folder: PathBuf,
}

impl Store {
    /// With lines of `[sessions]`, on a port of its own.
    pub(super) fn start(rig: &Rig, more: &str) -> Result<(Self, Running), String> {
        let folder = root().join("target/bench-sessions");
        drop(std::fs::remove_dir_all(&folder));
        let (port, to_text) = (free_port()?, |error: std::io::Error| error.to_string());
        std::fs::create_dir_all(&folder).map_err(to_text)?;
        let text = format!("[sessions]\nlisten = \"127.0.0.1:{port}\"\n{more}");
        let file = folder.join("reveille.toml");
        std::fs::write(&file, text).map_err(to_text)?;
        let config = file.to_string_lossy().into_owned();
        output(Command::new(&rig.reveille).args(["migrate", "--config", &config]))?;
        let line = "the session store is listening";
        let server = start(&rig.reveille, &["sessions", "--config", &config], line)?;
        let bare = start(&rig.bare, &[], "listening")?;
        std::fs::write(folder.join("value"), VALUE.repeat(VALUE_BYTES)).map_err(to_text)?;
        let store = Self { server, port, folder };
        store.at(port)?;
        Ok((store, bare))
    }

    /// A file of the addresses of all keys at a port, in no order.
    pub(super) fn at(&self, port: u16) -> Result<String, String> {
        let key = |number: u64| number.wrapping_mul(0x9e37_79b9) % KEYS;
        let line = |number| format!("http://127.0.0.1:{port}/sessions/v1/{:032}\n", key(number));
        let file = folder_file(self, &format!("uris-{port}"));
        let lines: String = (0..KEYS).map(line).collect();
        std::fs::write(&file, lines).map_err(|error| error.to_string())?;
        Ok(file)
    }

    pub(super) fn metrics(&self) -> Result<String, String> {
        Client::new(self.port).get("/metrics")
    }

    fn uris(&self) -> String {
        folder_file(self, &format!("uris-{}", self.port))
    }

    /// Writes every entry once.
    pub(super) fn fill(&self) -> Result<f64, String> {
        let (value, count) = (folder_file(self, "value"), KEYS.to_string());
        h2load(&["--h1", "-c", "1", "-n", &count, "-d", &value, "-i", &self.uris()])
    }

    pub(super) fn reads(&self, connections: &str, seconds: u32) -> Result<f64, String> {
        reads_at(&self.uris(), connections, seconds)
    }

    pub(super) fn writes(&self, connections: &str, seconds: u32) -> Result<f64, String> {
        self.writes_at(&self.uris(), connections, seconds)
    }

    pub(super) fn writes_at(&self, uris: &str, connections: &str, s: u32) -> Result<f64, String> {
        let value = folder_file(self, "value");
        h2load(&["--h1", "-c", connections, "-D", &s.to_string(), "-d", &value, "-i", uris])
    }
}

/// GETs of the addresses of a file, a second.
pub(super) fn reads_at(uris: &str, connections: &str, seconds: u32) -> Result<f64, String> {
    h2load(&["--h1", "-c", connections, "-D", &seconds.to_string(), "-i", uris])
}

fn folder_file(store: &Store, name: &str) -> String {
    store.folder.join(name).to_string_lossy().into_owned()
}

pub(super) fn measure(rig: &Rig) -> Result<Vec<Row>, String> {
    let example = [
        "build",
        "--release",
        "--quiet",
        "-p",
        "reveille-store-sqlite",
        "--example",
        "bare_sessions",
    ];
    run(Command::new("cargo").args(example).current_dir(root()))?;
    let (store, bare) = Store::start(rig, "store = \"sqlite:sessions.db\"\n")?;
    say(&format!("filled in at {}/s", store.fill()?));
    let mut rows = vec![reading(&store)?];
    let most = rows.iter().map(|row| row.figure).fold(0.0, f64::max);
    rows.push(latency(rig, &store, most / 2.0)?);
    rows.push(both(rig, &store, most)?);
    rows.push(writing(store)?);
    drop(bare);
    Ok(rows)
}

fn reading(store: &Store) -> Result<Row, String> {
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for run in 1..=RUNS {
        let seconds = SECONDS.to_string();
        peer.push(h2load(&["--h1", "-c", "64", "-D", &seconds, "http://127.0.0.1:8999/"])?);
        ours.push(store.reads("64", SECONDS)?);
        say(&format!("GET, run {run}: {:?}, bare {:?}", ours.last(), peer.last()));
    }
    Ok(Row {
        what: "sessions on SQLite: GET".to_owned(),
        figure: median(ours),
        unit: "/s",
        limit: None,
        peer: Some(Peer {
            name: "bare hyper handler",
            figure: median(peer),
            ratio: Some(Limit::AtLeast(0.4)),
        }),
        note: format!(
            "median of {RUNS}, 64 connections, values of {VALUE_BYTES} bytes under {KEYS} keys of 32; the handler answers 200 and nothing else"
        ),
    })
}

fn latency(rig: &Rig, store: &Store, rate: f64) -> Result<Row, String> {
    let mut p99 = Vec::new();
    // No more requests than there are keys.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small counts"
    )]
    let seconds = ((KEYS as f64 / rate) as u32).clamp(1, SECONDS);
    for _ in 0..RUNS {
        let report = load(rig, store, ("GET", "64"), (rate, seconds, 0))?;
        say(&format!("GET at {rate:.0}/s: {report}"));
        p99.push(figure(&report, "/latency_ms/p99"));
    }
    Ok(Row {
        what: "sessions on SQLite: time to a value at half of that".to_owned(),
        figure: median(p99),
        unit: "ms (p99)",
        limit: Some(Limit::AtMost(5.0)),
        peer: None,
        note: format!(
            "median of {RUNS}, 64 connections, {rate:.0} requests a second on a schedule, counted from the intended start"
        ),
    })
}

/// As the reference was measured: a hundred reads to a write, 1,024 connections.
fn both(rig: &Rig, store: &Store, most: f64) -> Result<Row, String> {
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let (reads, written) = std::thread::scope(|scope| {
            let writing =
                scope.spawn(|| load(rig, store, ("POST", "24"), (most / 100.0, SECONDS, 0)));
            (store.reads("1000", SECONDS), writing.join())
        });
        let written = written.map_err(|_| "the writer has failed")??;
        let writes = figure(&written, "/accepted") / figure(&written, "/seconds");
        let reads = reads?;
        say(&format!("mixed: {reads} reads and {writes} writes a second"));
        rates.push(reads + writes);
    }
    Ok(Row {
        what: "sessions on SQLite: 100 reads to a write".to_owned(),
        figure: median(rates),
        unit: "/s",
        limit: None,
        peer: None,
        note: format!(
            "median of {RUNS}, 1,024 connections, keys of 32 and values of {VALUE_BYTES} bytes. For scale: Kask on six nodes of Cassandra was published with 52,343"
        ),
    })
}

fn writing(store: Store) -> Result<Row, String> {
    let (mut ours, mut batches) = (Vec::new(), Vec::new());
    for run in 1..=RUNS {
        let before = store.metrics()?;
        ours.push(store.writes("512", SECONDS)?);
        let after = store.metrics()?;
        let count = |name: &str| metric(&after, name) - metric(&before, name);
        let batch = count("reveille_store_commands_total") / count("reveille_store_commits_total");
        say(&format!("POST, run {run}: {:?}, {batch:.0} a commit", ours.last()));
        batches.push(batch);
    }
    let database = folder_file(&store, "sessions.db");
    // Nobody else may have it open, so that the peer has its locks and caches to itself.
    drop(store);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let batch = (median(batches).round() as u64).max(1);
    let mut peer = Vec::new();
    for run in 1..=RUNS {
        let mut bare = Command::new(root().join("target/release/examples/bare_sessions"));
        let numbers = [KEYS, batch, SECONDS.into(), run as u64].map(|number| number.to_string());
        let printed = output(bare.arg(&database).args(numbers))?;
        say(&format!("bare SQLite: {}", printed.trim()));
        peer.push(printed.trim().parse().map_err(|_| "bare prints no rate".to_owned())?);
    }
    Ok(Row {
        what: "sessions on SQLite: POST".to_owned(),
        figure: median(ours),
        unit: "/s",
        limit: None,
        peer: Some(Peer {
            name: "bare SQLite",
            figure: median(peer),
            ratio: Some(Limit::AtLeast(0.4)),
        }),
        note: format!(
            "median of {RUNS}, 512 connections, each answer after its commit with synchronous=FULL, {batch} requests a commit; SQLite alone with the same statement, settings and batches on the same database"
        ),
    })
}

/// What the load generator reports of requests for numbered keys.
fn load(
    rig: &Rig,
    store: &Store,
    (method, connections): (&str, &str),
    (rate, seconds, first): (f64, u32, u64),
) -> Result<Value, String> {
    // Twelve digits are numbered; twenty before them make 32.
    let url = format!("http://127.0.0.1:{}/sessions/v1/{:020}@@@@@@@@@@@@", store.port, 0);
    let body = if method == "POST" { folder_file(store, "value") } else { "/dev/null".to_owned() };
    let mut load = Command::new(&rig.load);
    load.args([&url, &body]).args(["--method", method, "--connections", connections]);
    load.args(["--rate", &rate.to_string(), "--seconds", &seconds.to_string()]);
    load.args(["--first", &first.to_string()]);
    serde_json::from_str(&output(&mut load)?)
        .map_err(|error| format!("the load generator: {error}"))
}

/// New keys all the time, of which a tenth live: memory and file grow to what lives, and no further.
pub(super) fn churn(rig: &Rig, length: Length) -> Result<Vec<Row>, String> {
    const PHASES: u32 = 10;
    // Less than what a machine of two cores can do, so that as many are written as is said.
    let (rate, seconds, how_many) = match length {
        Length::Short => (16_000.0, 6, "a million"),
        Length::Long => (10_000.0, 101, "ten million"),
    };
    let more = format!("store = \"sqlite:sessions.db\"\ndefault_ttl_s = {seconds}\n");
    let (store, bare) = Store::start(rig, &more)?;
    drop(bare);
    let (mut memory, mut written, mut sizes) = (Vec::new(), 0.0, Vec::new());
    let begun = now();
    for phase in 0..PHASES {
        let first = u64::from(phase) * 100_000_000;
        let report = load(rig, &store, ("POST", "512"), (rate, seconds, first))?;
        written += figure(&report, "/accepted");
        memory.push(store.server.memory()?.0);
        let size = std::fs::metadata(store.folder.join("sessions.db")).map(|file| file.len());
        #[expect(clippy::cast_precision_loss, reason = "a size")]
        sizes.push(size.map_err(|error| error.to_string())? as f64 / 1_048_576.0);
        let live = metric(&store.metrics()?, "reveille_sessions_entries{namespace=\"default\"}");
        say(&format!(
            "{written} written, {live} there, {:?} MiB, file {:?} MiB",
            memory.last(),
            sizes.last()
        ));
    }
    let live = metric(&store.metrics()?, "reveille_sessions_entries{namespace=\"default\"}");
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let halves = |values: &[f64]| {
        let (early, late) = values.split_at(values.len() / 2);
        (most(early), most(late))
    };
    let note = format!(
        "{written:.0} new keys in {:.0} s, each for {seconds} s, {live:.0} there at the end; the most of the second half, beside the most of the first",
        begun.elapsed().as_secs_f64()
    );
    let row = |what: &str, values: &[f64]| Row {
        what: format!("sessions on SQLite: {what} under churn, {how_many} keys"),
        figure: halves(values).1 / halves(values).0,
        unit: "times",
        limit: Some(Limit::AtMost(1.15)),
        peer: None,
        note: format!("{note}: {:.0} MiB", halves(values).0),
    };
    Ok(vec![row("memory", &memory), row("file", &sizes)])
}
