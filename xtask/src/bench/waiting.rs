//! What waiting wake-ups cost, how soon a server that was killed with them is back, and whether a long queue drains like a short one.

use std::time::Duration;

use super::Length;
use super::delivery::drained;
use super::http::{Client, metric};
use super::plot::{Curve, Picture};
use super::report::{Limit, Peer, Row, median};
use super::rig::{Config, More, Provider, Rig, Running, now, sent};
use crate::process::say;

const WAITING: usize = 1_000_000;
const LONG: usize = 10_000_000;
/// What a long queue is compared with.
const SMALL: usize = 100_000;
/// Sizes of the picture.
const SIZES: [usize; 4] = [0, 100_000, 300_000, 600_000];
const RUNS: usize = 3;
const TIME_MAX: Duration = Duration::from_mins(30);

pub(super) fn measure(rig: &Rig, length: Length) -> Result<Vec<Row>, String> {
    let mut small = Vec::new();
    for _ in 0..RUNS {
        let (config, _push, _sandbox) = released(rig, SMALL, 8)?;
        small.push(drained(&config, SMALL)?);
    }
    let small = median(small);
    let mut rows = Vec::new();
    rows.extend(backlog(rig, &Backlog { count: WAITING, window_s: 20, runs: RUNS }, small)?);
    if length == Length::Long {
        // Ten minutes each.
        rows.extend(backlog(rig, &Backlog { count: LONG, window_s: 90, runs: 1 }, small)?);
    }
    let mut points = Vec::new();
    for count in SIZES {
        let (_, push, _sandbox) = released(rig, count, 10)?;
        points.push((to_f64(count), push.memory()?.1));
    }
    let million = rows.iter().find(|row| row.unit == "MiB").map(|row| row.figure);
    points.push((to_f64(WAITING), million.unwrap_or_default()));
    Picture {
        file: "waiting-memory.svg",
        title: "Memory in RAM, at most, against wake-ups waiting",
        x: "wake-ups waiting",
        y: "MiB",
        limit: Some(150.0),
        curves: vec![Curve { name: "reveille push", points }],
    }
    .draw()?;
    Ok(rows)
}

/// Servers whose window of so many wake-ups has just begun to leave.
fn released(rig: &Rig, count: usize, window_s: u32) -> Result<(Config, Running, Running), String> {
    let config = rig.config(window_s, &More::default())?;
    let sandbox = rig.sandbox(&config)?;
    let push = rig.push(&config)?;
    if count > 0 {
        config.fill(Provider::Fcm, (0, count))?;
        config.wait_for("the first delivery", TIME_MAX, |metrics| sent(metrics) > 0.0)?;
    }
    Ok((config, push, sandbox))
}

/// A queue to be measured.
struct Backlog {
    count: usize,
    /// Long enough for all of it to be accepted.
    window_s: u32,
    runs: usize,
}

fn backlog(rig: &Rig, backlog: &Backlog, small: f64) -> Result<Vec<Row>, String> {
    let Backlog { count, window_s, runs } = *backlog;
    let all = to_f64(count);
    let (mut memory, mut starts, mut rates) = (0.0_f64, Vec::new(), Vec::new());
    for run in 1..=runs {
        let (config, push, _sandbox) = released(rig, count, window_s)?;
        memory = memory.max(push.memory()?.1);
        drop(push);
        let begun = now();
        let push = rig.push(&config)?;
        Client::new(config.intake).get("/readyz")?;
        starts.push(begun.elapsed().as_secs_f64());
        let first = config.metrics()?;
        let begun = now();
        config.wait_for("all deliveries", TIME_MAX, |metrics| sent(metrics) >= all)?;
        rates.push((all - sent(&first)) / begun.elapsed().as_secs_f64());
        memory = memory.max(push.memory()?.1);
        let waiting = metric(&first, "reveille_ledger_wakeups{state=\"waiting\"}");
        say(&format!(
            "run {run}: {waiting} waited; ready after {starts:?} s, drained at {rates:?}"
        ));
    }
    let millions = count / 1_000_000;
    let of = |what: &str| format!("{millions} million waiting: {what}");
    let limit = |limit| (count == WAITING).then_some(limit);
    Ok(vec![
        Row {
            what: of("memory"),
            figure: memory,
            unit: "MiB",
            limit: limit(Limit::AtMost(150.0)),
            peer: None,
            note: format!(
                "the most there ever was in RAM in {runs} runs, from their acceptance to the last delivery"
            ),
        },
        Row {
            what: of("ready after a crash"),
            figure: median(starts),
            unit: "s",
            limit: limit(Limit::AtMost(2.0)),
            peer: None,
            note: format!("median of {runs}, `kill -9` when they begin to leave; all arrive"),
        },
        Row {
            what: of("drained at"),
            figure: median(rates),
            unit: "/s",
            limit: None,
            peer: Some(Peer {
                name: "100,000 waiting",
                figure: small,
                ratio: Some(Limit::AtLeast(0.9)),
            }),
            note: format!("median of {runs}, to FCM, each settled on disk"),
        },
    ])
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn to_f64(count: usize) -> f64 {
    count as f64
}
