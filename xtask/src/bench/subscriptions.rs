//! A million subscriptions: how fast more come, how fast an audience's are found, and how long a user waits for theirs.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::http::{Client, metric};
use super::intake::figure;
use super::report::{Limit, Peer, Row, median};
use super::rig::{Config, More, Rig, now};
use crate::process::{output, root, run, say};

const RUNS: usize = 3;
/// Users, and devices of each: a million together.
const USERS: usize = 250_000;
const DEVICES_EACH: usize = 4;
/// How fast they are filled in, a second: what the slowest machine keeps up with.
const FILL_RATE: f64 = 6_250.0;
/// More than any machine takes.
const ALL_IT_TAKES: f64 = 100_000.0;
const SECONDS: u32 = 5;
const CONNECTIONS: &str = "512";
/// Users one request names, and requests.
const NAMED: usize = 10_000;
const REQUESTS: usize = 10;
/// Numbers of one request: its user's, then its token's.
const NUMBERS_EACH: usize = 2;

pub(super) fn measure(rig: &Rig) -> Result<Vec<Row>, String> {
    let example =
        ["build", "--release", "--quiet", "-p", "reveille-store-sqlite", "--example", "bare"];
    run(Command::new("cargo").args(example).current_dir(root()))?;
    let config = rig.config(3_600, &More::default())?;
    let push = rig.push(&config)?;
    fill(rig, &config)?;
    let looked_up = look_up(&config)?;
    let listed = list(rig, &config)?;
    let (created, batch) = create(rig, &config)?;
    drop(push);
    let bare = bare(&config, batch)?;
    Ok(vec![
        Row {
            what: "1 million subscriptions: created".to_owned(),
            figure: created,
            unit: "/s",
            limit: None,
            peer: Some(Peer {
                name: "bare SQLite",
                figure: bare,
                ratio: Some(Limit::AtLeast(0.4)),
            }),
            note: format!(
                "median of {RUNS}, {CONNECTIONS} connections, each answer after its commit, {batch} requests a commit; SQLite alone with the same statement, settings and batches on the same database"
            ),
        },
        Row {
            what: "1 million subscriptions: found for notifications".to_owned(),
            figure: looked_up,
            unit: "/s",
            limit: Some(Limit::AtLeast(100_000.0)),
            peer: None,
            note: format!(
                "median of {RUNS} times {REQUESTS} requests, one after the other, of {NAMED} users with {DEVICES_EACH} devices each; preferences asked and wake-ups on disk"
            ),
        },
        Row {
            what: "1 million subscriptions: GET /v1/subscriptions".to_owned(),
            figure: listed,
            unit: "ms (p99)",
            limit: Some(Limit::AtMost(10.0)),
            peer: None,
            note: format!(
                "median of {RUNS}, 64 connections, 2000 requests a second on a schedule, each of another user, counted from the intended start"
            ),
        },
    ])
}

/// A request that registers a device. Users and tokens are numbered by the load generator, so that the same users come again with each prefix.
fn registration(config: &Config, prefix: &str) -> Result<PathBuf, String> {
    let body = config.file.with_file_name("device.json");
    let token = format!("{prefix}{}@@@@@@@@@@@@", "t".repeat(140));
    let text = format!("{{\"provider\":\"fcm\",\"token\":\"{token}\"}}");
    std::fs::write(&body, text).map_err(|error| error.to_string())?;
    Ok(body)
}

/// What the load generator reports of requests to register devices.
fn register(
    rig: &Rig,
    config: &Config,
    prefix: &str,
    (rate, seconds, first): (f64, u32, usize),
) -> Result<Value, String> {
    let url = format!("http://127.0.0.1:{}/v1/subscriptions", config.public);
    let mut load = Command::new(&rig.load);
    load.arg(url).arg(registration(config, prefix)?);
    load.args(["--connections", CONNECTIONS, "--header", "x-user: user-@@@@@@@@@@@@"]);
    load.args(["--rate", &rate.to_string(), "--seconds", &seconds.to_string()]);
    load.args(["--first", &first.to_string()]);
    report(&mut load)
}

fn report(load: &mut Command) -> Result<Value, String> {
    let printed = output(load)?;
    serde_json::from_str(&printed).map_err(|error| format!("the load generator: {error}"))
}

fn fill(rig: &Rig, config: &Config) -> Result<(), String> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small counts"
    )]
    let seconds = (USERS as f64 / FILL_RATE).ceil() as u32;
    for device in 0..DEVICES_EACH {
        let report = register(rig, config, &format!("d{device}"), (FILL_RATE, seconds, 0))?;
        say(&format!("filled in: {report}"));
    }
    let metrics = config.metrics()?;
    let there = metric(&metrics, "reveille_subscriptions{state=\"all\"}");
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let expected = (USERS * DEVICES_EACH) as f64;
    if there < expected * 0.99 {
        return Err(format!("only {there} subscriptions of {expected} were taken in time"));
    }
    Ok(())
}

/// Subscriptions a second.
fn look_up(config: &Config) -> Result<f64, String> {
    let client = Client::new(config.intake);
    let bodies: Vec<String> = (0..REQUESTS)
        .map(|request| {
            let users = (0..NAMED).map(|number| (request * NAMED + number) * NUMBERS_EACH);
            let users: Vec<String> = users.map(|number| format!("\"user-{number:012}\"")).collect();
            format!("{{\"type\":\"mention\",\"users\":[{}]}}", users.join(","))
        })
        .collect();
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let before = accepted(config)?;
        let begun = now();
        for body in &bodies {
            client.post("/v1/notifications", body)?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let found = accepted(config)? - before;
        say(&format!("{found} found in {seconds:.2} s"));
        rates.push(found / seconds);
    }
    Ok(median(rates))
}

fn accepted(config: &Config) -> Result<f64, String> {
    Ok(metric(&config.metrics()?, "reveille_ledger_wakeups{state=\"accepted\"}"))
}

fn list(rig: &Rig, config: &Config) -> Result<f64, String> {
    let url = format!("http://127.0.0.1:{}/v1/subscriptions", config.public);
    let mut p99 = Vec::new();
    for run in 0..RUNS {
        let mut load = Command::new(&rig.load);
        load.arg(&url).arg("/dev/null").args(["--connections", "64", "--method", "GET"]);
        // The second header uses up a number, as a token does when devices are registered.
        load.args(["--header", "x-user: user-@@@@@@@@@@@@", "--header", "x-token: @@@@@@@@@@@@"]);
        load.args(["--rate", "2000", "--seconds", &SECONDS.to_string()]);
        load.args(["--first", &(run * 40_000).to_string()]);
        let report = report(&mut load)?;
        say(&format!("listed: {report}"));
        p99.push(figure(&report, "/latency_ms/p99"));
    }
    Ok(median(p99))
}

/// Subscriptions a second, and requests a commit.
fn create(rig: &Rig, config: &Config) -> Result<(f64, u64), String> {
    let (mut rates, mut batches) = (Vec::new(), Vec::new());
    for run in 1..=RUNS {
        let before = config.metrics()?;
        let first = run * 100_000_000;
        let report = register(rig, config, "n", (ALL_IT_TAKES, SECONDS, first))?;
        let after = config.metrics()?;
        let count = |name: &str| metric(&after, name) - metric(&before, name);
        batches
            .push(count("reveille_store_commands_total") / count("reveille_store_commits_total"));
        rates.push(figure(&report, "/accepted") / figure(&report, "/seconds"));
        say(&format!("created: {report}"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let batch = median(batches).round() as u64;
    Ok((median(rates), batch.max(1)))
}

/// Rows a second of SQLite alone.
fn bare(config: &Config, batch: u64) -> Result<f64, String> {
    let database = config.file.with_file_name("reveille.db");
    let mut rates = Vec::new();
    for run in 1..=RUNS {
        let mut bare = Command::new(root().join("target/release/examples/bare"));
        bare.arg(&database).args([batch.to_string(), SECONDS.to_string(), run.to_string()]);
        let printed = output(&mut bare)?;
        say(&format!("bare SQLite: {}", printed.trim()));
        rates.push(printed.trim().parse().map_err(|_| "bare prints no rate".to_owned())?);
    }
    Ok(median(rates))
}
