//! Whether APNs in trouble slows FCM: the 99th percentile of FCM's delays, counted from the window's end, while APNs answers 503 to
//! everything, against the same while APNs is well. Phases alternate, so that a noisy machine is noisy to both.

use std::process::Command;
use std::time::{Duration, Instant};

use super::Row;
use super::rig::{Config, Rig, get, start};
use crate::process::{output, say};

const WINDOW_S: u32 = 2;
/// Rounds, and how long each phase of one lasts.
pub(super) const SHORT: Length = Length { rounds: 2, phase_s: 60 };
pub(super) const LONG: Length = Length { rounds: 1, phase_s: 600 };
/// How many tokens of each provider arrive a second.
const TOKENS_PER_S: usize = 300;
/// Longest wait for APNs to catch up after its trouble.
const DRAIN_MAX: Duration = Duration::from_mins(20);

/// How long it is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    rounds: usize,
    phase_s: usize,
}

pub(super) fn measure(rig: &Rig, length: Length) -> Result<Row, String> {
    let Length { rounds, phase_s } = length;
    let config = rig.config(WINDOW_S)?;
    let file = config.file.to_string_lossy().into_owned();
    let sandbox =
        start(&rig.reveille, &["sandbox", "--config", &file], "the sandbox is listening")?;
    let push = start(&rig.reveille, &["push", "--config", &file], "the push server is listening")?;
    let (mut well, mut ill) = (Vec::new(), Vec::new());
    let mut sent = 0;
    for round in 0..rounds {
        for is_ill in [false, true] {
            say(&format!("round {round}, APNs {}", if is_ill { "answers 503" } else { "is well" }));
            if is_ill {
                control(&config, "POST", "faults", r#"{"provider":"apns","reply":"unavailable"}"#)?;
            }
            sent += phase(&config, sent, phase_s)?;
            let delays = delays(&config, phase_s * TOKENS_PER_S)?;
            if is_ill {
                ill.extend(delays);
            } else {
                well.extend(delays);
            }
            control(&config, "DELETE", "faults", "")?;
            drain(&config, sent * 2)?;
            control(&config, "DELETE", "received", "")?;
        }
    }
    drop((push, sandbox));
    let note = format!(
        "99th percentile of {} and {} delays from the window's end, {rounds} rounds of {phase_s} s each, {TOKENS_PER_S} tokens a second and provider; all of APNs' arrived afterwards",
        ill.len(),
        well.len()
    );
    Ok(Row {
        what: "FCM's delay, APNs answering 503",
        ours: percentile_99(ill),
        peer: percentile_99(well),
        unit: "ms",
        peer_name: "the same with APNs well",
        note,
    })
}

/// A second's tokens of each provider, every second. Returns how many of each.
fn phase(config: &Config, first: usize, phase_s: usize) -> Result<usize, String> {
    let begun = now();
    for second in 0..phase_s {
        let from = first + second * TOKENS_PER_S;
        let numbers = from..from + TOKENS_PER_S;
        let fcm: Vec<String> =
            numbers.clone().map(|number| format!("\"{number:0>140}\"")).collect();
        let apns: Vec<String> = numbers.map(|number| format!("\"{number:064x}\"")).collect();
        post(config, "fcm", &fcm, "")?;
        post(config, "apns", &apns, r#","topic":"org.wikimedia.wikipedia""#)?;
        let next = Duration::from_secs(second as u64 + 1);
        std::thread::park_timeout(next.saturating_sub(begun.elapsed()));
    }
    Ok(phase_s * TOKENS_PER_S)
}

fn post(config: &Config, provider: &str, tokens: &[String], more: &str) -> Result<(), String> {
    let body = config.file.with_file_name("isolation.json");
    let text = format!(
        "{{\"messageType\":\"checkEchoV1\",\"deviceTokens\":[{}]{more}}}",
        tokens.join(",")
    );
    std::fs::write(&body, text).map_err(|error| error.to_string())?;
    let data = format!("@{}", body.display());
    let url = format!("http://127.0.0.1:{}/v1/message/{provider}", config.intake);
    output(Command::new("curl").args([
        "-s",
        "-f",
        "-H",
        "content-type: application/json",
        "-d",
        &data,
        &url,
    ]))
    .map(drop)
}

fn control(config: &Config, method: &str, path: &str, body: &str) -> Result<(), String> {
    let url = format!("http://127.0.0.1:{}/{path}", config.control);
    output(Command::new("curl").args(["-s", "-f", "-X", method, "-d", body, &url])).map(drop)
}

/// How long after its window's end each FCM push arrived, in milliseconds. Windows end on a grid of the clock.
fn delays(config: &Config, least: usize) -> Result<Vec<f64>, String> {
    let url = format!(
        "http://127.0.0.1:{}/received?provider=fcm&received_min={least}&wait_s=60",
        config.control
    );
    let received = get(&url)?;
    let delays: Vec<f64> = received
        .lines()
        .filter_map(|line| {
            let time = line.split("\"received_at\":\"").nth(1)?.split('"').next()?;
            let seconds: f64 = time.get(17..)?.trim_end_matches('Z').parse().ok()?;
            Some(seconds % f64::from(WINDOW_S) * 1_000.0)
        })
        .collect();
    if delays.len() < least {
        return Err(format!("only {} of {least} FCM pushes arrived", delays.len()));
    }
    Ok(delays)
}

/// Waits until everything accepted so far was taken by its provider: nothing is lost.
fn drain(config: &Config, accepted: usize) -> Result<(), String> {
    let begun = now();
    let line = format!("reveille_ledger_wakeups{{state=\"sent\"}} {accepted}\n");
    while !get(&format!("http://127.0.0.1:{}/metrics", config.intake))?.contains(&line) {
        if begun.elapsed() > DRAIN_MAX {
            return Err(format!("not all of {accepted} wake-ups arrived in ten minutes"));
        }
        std::thread::park_timeout(Duration::from_millis(500));
    }
    Ok(())
}

fn percentile_99(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() * 99 / 100).copied().unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}
