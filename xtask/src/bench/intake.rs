//! Durable requests a second against a handler that reads the body and does nothing; latency at a fixed rate.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::http::metric;
use super::plot::{Curve, Picture};
use super::report::{Limit, Peer, Row, median};
use super::rig::{Config, More, Rig, h2load, sleep, start};
use crate::process::{output, say};

const RUNS: usize = 3;
const SECONDS: u32 = 4;
const CONNECTIONS: &str = "512";
/// What one token a request must reach, and half of it, at which latency is measured.
const REQUIRED: f64 = 20_000.0;
/// Rates of the picture.
const RATES: [f64; 8] =
    [2_000.0, 5_000.0, 10_000.0, 15_000.0, 20_000.0, 25_000.0, 30_000.0, 35_000.0];

pub(super) fn measure(rig: &Rig) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for tokens in [1, 100] {
        rows.extend(throughput(rig, tokens)?);
    }
    rows.extend(latency(rig)?);
    rows.push(fsyncs(rig)?);
    Ok(rows)
}

/// A request of so many tokens, each numbered by the load generator.
pub(super) fn body(config: &Config, tokens: usize) -> Result<PathBuf, String> {
    let tokens: Vec<String> =
        (0..tokens).map(|_| format!("\"{}@@@@@@@@@@@@\"", "t".repeat(148))).collect();
    let text =
        format!("{{\"deviceTokens\":[{}],\"messageType\":\"checkEchoV1\"}}", tokens.join(","));
    let body = config.file.with_file_name("body.json");
    std::fs::write(&body, text).map_err(|error| error.to_string())?;
    Ok(body)
}

fn throughput(rig: &Rig, tokens: usize) -> Result<Vec<Row>, String> {
    let config = rig.config(3_600, &More::default())?;
    let body = body(&config, tokens)?;
    let load = |url: &str| {
        let (body, kind) = (body.to_string_lossy(), "content-type: application/json");
        let seconds = SECONDS.to_string();
        h2load(&["--h1", "-c", CONNECTIONS, "-D", &seconds, "-d", &body, "-H", kind, url])
    };
    let push = rig.push(&config)?;
    let bare = start(&rig.bare, &[], "listening")?;
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for run in 1..=RUNS {
        peer.push(load("http://127.0.0.1:8999/")?);
        ours.push(load(&format!("http://127.0.0.1:{}/v1/message/fcm", config.intake))?);
        say(&format!("{tokens} a request, run {run}: {:?}, bare {:?}", ours.last(), peer.last()));
    }
    let metrics = config.metrics()?;
    let grouped = metric(&metrics, "reveille_store_commands_total")
        / metric(&metrics, "reveille_store_commits_total");
    drop((push, bare));
    let (ours, peer) = (median(ours), median(peer));
    let note = format!(
        "median of {RUNS}, {CONNECTIONS} connections, each answer after its commit, {grouped:.0} requests a commit"
    );
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let all = tokens as f64;
    let name = "bare hyper handler";
    Ok(if tokens == 1 {
        vec![Row {
            what: "intake, 1 token a request".to_owned(),
            figure: ours,
            unit: "requests/s",
            limit: Some(Limit::AtLeast(REQUIRED)),
            peer: Some(Peer { name, figure: peer, ratio: Some(Limit::AtLeast(0.15)) }),
            note,
        }]
    } else {
        vec![Row {
            what: format!("intake, {tokens} tokens a request"),
            figure: ours * all,
            unit: "tokens/s",
            limit: Some(Limit::AtLeast(300_000.0)),
            peer: Some(Peer { name, figure: peer * all, ratio: None }),
            note,
        }]
    })
}

/// What the load generator reports.
pub(super) fn load(
    rig: &Rig,
    (config, body): (&Config, &Path),
    (connections, rate, seconds): (&str, f64, u32),
) -> Result<Value, String> {
    let url = format!("http://127.0.0.1:{}/v1/message/fcm", config.intake);
    let printed = output(
        Command::new(&rig.load)
            .arg(url)
            .arg(body)
            .args(["--connections", connections])
            .args(["--rate", &rate.to_string()])
            .args(["--seconds", &seconds.to_string()]),
    )?;
    serde_json::from_str(&printed).map_err(|error| format!("the load generator: {error}"))
}

pub(super) fn figure(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or_default()
}

fn latency(rig: &Rig) -> Result<Vec<Row>, String> {
    let config = rig.config(3_600, &More::default())?;
    let body = body(&config, 1)?;
    let push = rig.push(&config)?;
    let mut p99 = Vec::new();
    for _ in 0..RUNS {
        let report = load(rig, (&config, &body), (CONNECTIONS, REQUIRED / 2.0, SECONDS))?;
        p99.push(figure(&report, "/latency_ms/p99"));
    }
    let mut curves = [Vec::new(), Vec::new(), Vec::new()];
    for rate in RATES {
        let report = load(rig, (&config, &body), (CONNECTIONS, rate, SECONDS))?;
        say(&format!("at {rate}/s: {report}"));
        let taken = figure(&report, "/accepted") / figure(&report, "/seconds");
        let [throughput, p50, p99] = &mut curves;
        throughput.push((rate, taken));
        p50.push((rate, figure(&report, "/latency_ms/p50")));
        p99.push((rate, figure(&report, "/latency_ms/p99")));
    }
    drop(push);
    let [taken, p50, p99_curve] = curves;
    // Beyond saturation a queue only grows; its latencies say how long the run was.
    let kept_up = taken.iter().take_while(|(rate, taken)| *taken >= rate * 0.97).count();
    let shown = |points: Vec<(f64, f64)>| points.into_iter().take(kept_up).collect::<Vec<_>>();
    Picture {
        file: "intake-latency.svg",
        title: "Intake: time to a durable answer, from the intended start",
        x: "requests a second offered, one token each",
        y: "milliseconds",
        limit: Some(50.0),
        curves: vec![
            Curve { name: "median", points: shown(p50) },
            Curve { name: "99th percentile", points: shown(p99_curve) },
        ],
    }
    .draw()?;
    Picture {
        file: "intake-load.svg",
        title: "Intake: what is taken of what is offered",
        x: "requests a second offered, one token each",
        y: "durable requests a second",
        limit: Some(REQUIRED),
        curves: vec![Curve { name: "answered with 200", points: taken }],
    }
    .draw()?;
    Ok(vec![Row {
        what: "intake, time to a durable answer at half of that".to_owned(),
        figure: median(p99),
        unit: "ms (p99)",
        limit: Some(Limit::AtMost(50.0)),
        peer: None,
        note: format!(
            "median of {RUNS}, {CONNECTIONS} connections, {:.0} requests a second on a schedule, counted from the intended start",
            REQUIRED / 2.0
        ),
    }])
}

/// Whether a commit really reaches the disk: system calls of a running server under load, against its own count of commits.
fn fsyncs(rig: &Rig) -> Result<Row, String> {
    let config = rig.config(3_600, &More::default())?;
    let body = body(&config, 1)?;
    let push = rig.push(&config)?;
    let counted = config.file.with_file_name("fsyncs.txt");
    let mut tracing = Command::new("strace")
        .args(["-f", "-c", "-U", "calls,name", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&counted)
        .args(["-p", &push.id().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start strace: {error}"))?;
    // Until it is attached, nothing is written.
    sleep(1.0);
    let before = config.metrics()?;
    let report = load(rig, (&config, &body), ("64", 2_000.0, SECONDS))?;
    let after = config.metrics()?;
    let pid = tracing.id().to_string();
    output(Command::new("kill").args(["-INT", &pid]))?;
    tracing.wait().map_err(|error| error.to_string())?;
    drop(push);
    let table = std::fs::read_to_string(&counted).map_err(|error| error.to_string())?;
    let calls = table.lines().filter(|line| line.ends_with("sync")).filter_map(|line| {
        line.split_whitespace().next().and_then(|count| count.parse::<f64>().ok())
    });
    let calls: f64 = calls.sum();
    let commits = metric(&after, "reveille_store_commits_total")
        - metric(&before, "reveille_store_commits_total");
    Ok(Row {
        what: "system calls to the disk a commit".to_owned(),
        figure: calls / commits,
        unit: "fsync",
        limit: Some(Limit::AtLeast(1.0)),
        peer: None,
        note: format!(
            "counted by strace: {calls:.0} for {commits:.0} commits of {:.0} requests",
            figure(&report, "/accepted")
        ),
    })
}
