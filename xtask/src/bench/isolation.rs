//! Whether APNs in trouble slows FCM: the 99th percentile of FCM's delays, counted from the window's end, while APNs answers 503 to
//! everything, against the same while APNs is well. Phases alternate, so that a noisy machine is noisy to both.

use std::time::Duration;

use super::Length;
use super::http::Client;
use super::report::{Limit, Peer, Row};
use super::rig::{Config, More, Rig, now, seconds_of_clock, sleep};
use crate::process::say;

const WINDOW_S: u32 = 2;
/// Rounds, and how long each phase of one lasts.
const SHORT: Phases = Phases { rounds: 2, phase_s: 60 };
const LONG: Phases = Phases { rounds: 1, phase_s: 600 };
/// How many tokens of each provider arrive a second.
const TOKENS_PER_S: usize = 300;
/// More than this is a failure.
const RATIO_MAX: f64 = 1.1;
/// Longest wait for APNs to catch up after its trouble.
const DRAIN_MAX: Duration = Duration::from_mins(20);

/// How long it is measured.
#[derive(Debug, Clone, Copy)]
struct Phases {
    rounds: usize,
    phase_s: usize,
}

pub(super) fn measure(rig: &Rig, length: Length) -> Result<Row, String> {
    let Phases { rounds, phase_s } = if length == Length::Long { LONG } else { SHORT };
    let config = rig.config(WINDOW_S, &More { received_max: 200_000, ..More::default() })?;
    let sandbox = rig.sandbox(&config)?;
    let push = rig.push(&config)?;
    let (mut well, mut ill) = (Vec::new(), Vec::new());
    let mut sent = 0;
    for round in 0..rounds {
        for is_ill in [false, true] {
            say(&format!("round {round}, APNs {}", if is_ill { "answers 503" } else { "is well" }));
            if is_ill {
                control(&config, "POST", "faults", r#"{"provider":"apns","reply":"unavailable"}"#)?;
            }
            let posted = phase(&config, sent, phase_s)?;
            let delays = delays(&config, sent, &posted)?;
            sent += phase_s * TOKENS_PER_S;
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
    let (ours, peer) = (percentile_99(ill.clone()), percentile_99(well.clone()));
    let note = format!(
        "99th percentile of {} and {} delays from the window's end, {rounds} rounds of {phase_s} s each, {TOKENS_PER_S} tokens a second and provider; all of APNs' arrived afterwards",
        ill.len(),
        well.len()
    );
    Ok(Row {
        what: "FCM's delay while APNs answers 503".to_owned(),
        figure: ours,
        unit: "ms (p99)",
        limit: None,
        peer: Some(Peer {
            name: "with APNs well",
            figure: peer,
            ratio: Some(Limit::AtMost(RATIO_MAX)),
        }),
        note,
    })
}

/// A second's tokens of each provider, every second. Returns when each second's were accepted, in seconds of the day.
fn phase(config: &Config, first: usize, phase_s: usize) -> Result<Vec<f64>, String> {
    let (begun, mut posted) = (now(), Vec::new());
    for second in 0..phase_s {
        let from = first + second * TOKENS_PER_S;
        let numbers = from..from + TOKENS_PER_S;
        let fcm: Vec<String> =
            numbers.clone().map(|number| format!("\"{number:0>140}\"")).collect();
        let apns: Vec<String> = numbers.map(|number| format!("\"{number:064x}\"")).collect();
        post(config, "fcm", &fcm, "")?;
        post(config, "apns", &apns, r#","topic":"org.wikimedia.wikipedia""#)?;
        posted.push(seconds_of_clock() % 86_400.0);
        let next = Duration::from_secs(second as u64 + 1);
        sleep(next.saturating_sub(begun.elapsed()).as_secs_f64());
    }
    Ok(posted)
}

fn post(config: &Config, provider: &str, tokens: &[String], more: &str) -> Result<(), String> {
    let text = format!(
        "{{\"messageType\":\"checkEchoV1\",\"deviceTokens\":[{}]{more}}}",
        tokens.join(",")
    );
    Client::new(config.intake).post(&format!("/v1/message/{provider}"), &text).map(drop)
}

fn control(config: &Config, method: &str, path: &str, body: &str) -> Result<(), String> {
    Client::new(config.control).request(method, &format!("/{path}"), body).map(drop)
}

/// How long after the end of the window in which it was accepted each FCM push arrived, in milliseconds. Windows end on a grid of the clock; its
/// number says in which second a token was posted.
fn delays(config: &Config, first: usize, posted: &[f64]) -> Result<Vec<f64>, String> {
    let least = posted.len() * TOKENS_PER_S;
    let path = format!("/received?provider=fcm&received_min={least}&wait_s=60");
    let received = Client::new(config.control).get(&path)?;
    let window = f64::from(WINDOW_S);
    let delay = |line: &str| -> Option<f64> {
        let text = |name: &str| {
            let rest = line.split(&format!("\"{name}\":\"")).nth(1)?;
            rest.split('"').next()
        };
        let number: usize = text("token")?.trim_start_matches('0').parse().unwrap_or(0);
        let accepted = posted.get((number - first) / TOKENS_PER_S)?;
        let mut clock = text("received_at")?.get(11..)?.trim_end_matches('Z').split(':');
        let mut part = || clock.next()?.parse::<f64>().ok();
        let arrived = part()? * 3_600.0 + part()? * 60.0 + part()?;
        let end = (accepted / window).floor() * window + window;
        // Acceptance is noted a little late: one that came in just before the end left with that window.
        Some((if arrived < end { arrived - end + window } else { arrived - end }) * 1_000.0)
    };
    let delays: Vec<f64> = received.lines().filter_map(delay).collect();
    if delays.len() < least {
        return Err(format!("only {} of {least} FCM pushes arrived", delays.len()));
    }
    Ok(delays)
}

/// Waits until everything accepted so far was taken by its provider: nothing is lost.
fn drain(config: &Config, accepted: usize) -> Result<(), String> {
    let line = format!("reveille_ledger_wakeups{{state=\"sent\"}} {accepted}\n");
    config.wait_for("all deliveries", DRAIN_MAX, |metrics| metrics.contains(&line)).map(drop)
}

fn percentile_99(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() * 99 / 100).copied().unwrap_or_default()
}
