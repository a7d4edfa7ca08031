//! Twice as much as can leave, for long: memory stays flat, each refusal says when to come back, and all that was accepted arrives.

use std::time::Duration;

use super::Length;
use super::http::metric;
use super::intake::{figure, load};
use super::report::{Limit, Row, median};
use super::rig::{More, Rig, sent, sleep};
use crate::process::say;

/// What the provider's quota lets leave, a second.
const CAPACITY: f64 = 5_000.0;
const TOKENS_PER_REQUEST: f64 = 10.0;
/// An hour at a twentieth of the rate.
const SECONDS: u32 = 180;
const SECONDS_LONG: u32 = 3_600;
const TIME_MAX: Duration = Duration::from_mins(10);

pub(super) fn measure(rig: &Rig, length: Length) -> Result<Vec<Row>, String> {
    let seconds = if length == Length::Long { SECONDS_LONG } else { SECONDS };
    let quota = format!("per_minute_max = {:.0}", CAPACITY * 60.0);
    let config = rig
        .config(1, &More { push: "outbox_wakeups_max = 30000", fcm: &quota, ..More::default() })?;
    let tokens: Vec<String> =
        (0..10).map(|_| format!("\"{}@@@@@@@@@@@@\"", "t".repeat(148))).collect();
    let body = config.file.with_file_name("body.json");
    let text =
        format!("{{\"deviceTokens\":[{}],\"messageType\":\"checkEchoV1\"}}", tokens.join(","));
    std::fs::write(&body, text).map_err(|error| error.to_string())?;
    let sandbox = rig.sandbox(&config)?;
    let push = rig.push(&config)?;
    let rate = 2.0 * CAPACITY / TOKENS_PER_REQUEST;
    let (report, memory) = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load(rig, (&config, &body), ("64", rate, seconds)));
        let mut memory = Vec::new();
        while !loading.is_finished() {
            memory.push(push.memory().map_or(0.0, |(now, _)| now));
            sleep(0.5);
        }
        let report = loading.join().map_err(|_| "the load generator's thread panicked".to_owned());
        (report.and_then(|report| report), memory)
    });
    let report = report?;
    say(&report.to_string());
    let accepted = figure(&report, "/accepted") * TOKENS_PER_REQUEST;
    let refused = figure(&report, "/answered/503");
    let well_refused = figure(&report, "/retry_after");
    let others = figure(&report, "/sent") - figure(&report, "/accepted") - refused;
    if others != 0.0 || figure(&report, "/errors") != 0.0 || figure(&report, "/unsent") != 0.0 {
        return Err(format!("some were neither accepted nor refused: {report}"));
    }
    let after =
        config.wait_for("all that was accepted", TIME_MAX, |metrics| sent(metrics) >= accepted)?;
    let kept = metric(&after, "reveille_ledger_wakeups{state=\"accepted\"}");
    drop((push, sandbox));
    let note = format!(
        "{seconds} s of twice what the provider's quota lets leave ({:.0} a second)",
        2.0 * CAPACITY
    );
    Ok(vec![
        flatness(&memory, &note),
        Row {
            what: "overload: refusals with 503 and Retry-After".to_owned(),
            figure: well_refused / refused,
            unit: "of all",
            limit: Some(Limit::AtLeast(1.0)),
            peer: None,
            note: format!(
                "{refused:.0} refusals; p99 of a refusal {:.1} ms",
                figure(&report, "/refusal_ms/p99")
            ),
        },
        Row {
            what: "overload: accepted that was sent".to_owned(),
            figure: sent(&after) / accepted,
            unit: "of all",
            limit: Some(Limit::AtLeast(1.0)),
            peer: None,
            note: format!(
                "{accepted:.0} wake-ups were accepted by the callers' count, {kept:.0} by the ledger's"
            ),
        },
    ])
}

/// The last third of the run against the second; in the first the outbox fills.
fn flatness(memory: &[f64], note: &str) -> Row {
    let third = memory.len() / 3;
    let part = |from: usize| median(memory.iter().copied().skip(from).take(third).collect());
    let (second, last) = (part(third), part(2 * third));
    Row {
        what: "overload: memory of the last third by that of the second".to_owned(),
        figure: last / second,
        unit: "times",
        limit: Some(Limit::AtMost(1.05)),
        peer: None,
        note: format!("{note}; {last:.0} MiB at the end"),
    }
}
