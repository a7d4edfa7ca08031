//! Twice as much as can leave, for long: memory stays flat, each refusal says when to come back, and all that was accepted arrives.

use std::time::Duration;

use super::Length;
use super::http::metric;
use super::intake::{body, figure, load};
use super::report::{Limit, Row, median};
use super::rig::{More, Rig, sent, sleep};
use crate::process::say;

/// What the provider's quota lets leave, a second.
const CAPACITY: f64 = 5_000.0;
const TOKENS_PER_REQUEST: usize = 10;
const RUNS: usize = 3;
/// Instead of an hour: in so much time as much passes as in an hour at 170 a second.
const SECONDS: u32 = 120;
const SECONDS_LONG: u32 = 3_600;
const TIME_MAX: Duration = Duration::from_mins(10);

/// What one run came to.
struct Run {
    /// Memory of the last third by that of the second; in the first the outbox fills.
    growth: f64,
    memory: f64,
    refused: f64,
    refused_with_retry_after: f64,
    refusal_p99_ms: f64,
    accepted: f64,
    sent: f64,
}

pub(super) fn measure(rig: &Rig, length: Length) -> Result<Vec<Row>, String> {
    let (runs, seconds) = match length {
        Length::Short => (RUNS, SECONDS),
        Length::Long => (1, SECONDS_LONG),
    };
    let runs = (0..runs).map(|_| overload(rig, seconds)).collect::<Result<Vec<Run>, _>>()?;
    let sum = |part: fn(&Run) -> f64| runs.iter().map(part).sum::<f64>();
    let most = |part: fn(&Run) -> f64| runs.iter().map(part).fold(0.0, f64::max);
    let how = format!(
        "the worst of {} times {seconds} s of twice what the provider's quota lets leave ({:.0} a second)",
        runs.len(),
        2.0 * CAPACITY
    );
    let row = |what: &str, figure: f64, limit, note| Row {
        what: format!("overload: {what}"),
        figure,
        unit: "",
        limit: Some(limit),
        peer: None,
        note,
    };
    let (refused, accepted) = (sum(|run| run.refused), sum(|run| run.accepted));
    Ok(vec![
        row(
            "memory of the last third by that of the second",
            most(|run| run.growth),
            Limit::AtMost(1.05),
            format!("{how}; {:.0} MiB at the end", most(|run| run.memory)),
        ),
        row(
            "refusals with 503 and Retry-After",
            sum(|run| run.refused_with_retry_after) / refused,
            Limit::AtLeast(1.0),
            format!("of {refused:.0}; p99 of a refusal {:.1} ms", most(|run| run.refusal_p99_ms)),
        ),
        row(
            "accepted that was sent",
            sum(|run| run.sent) / accepted,
            Limit::AtLeast(1.0),
            format!("of {accepted:.0} by the callers' count, which is the ledger's"),
        ),
    ])
}

fn overload(rig: &Rig, seconds: u32) -> Result<Run, String> {
    let quota = format!("per_minute_max = {:.0}", CAPACITY * 60.0);
    let more = More { push: "outbox_wakeups_max = 30000", fcm: &quota, ..More::default() };
    let config = rig.config(1, &more)?;
    let body = body(&config, TOKENS_PER_REQUEST)?;
    let _sandbox = rig.sandbox(&config)?;
    let push = rig.push(&config)?;
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let tokens = TOKENS_PER_REQUEST as f64;
    let rate = 2.0 * CAPACITY / tokens;
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
    let accepted = figure(&report, "/accepted") * tokens;
    let refused = figure(&report, "/answered/503");
    let others = figure(&report, "/sent") - figure(&report, "/accepted") - refused;
    if others != 0.0 || figure(&report, "/errors") != 0.0 || figure(&report, "/unsent") != 0.0 {
        return Err(format!("some were neither accepted nor refused: {report}"));
    }
    let after =
        config.wait_for("all that was accepted", TIME_MAX, |metrics| sent(metrics) >= accepted)?;
    let kept = metric(&after, "reveille_ledger_wakeups{state=\"accepted\"}");
    if (kept - accepted).abs() > 0.0 {
        return Err(format!("{accepted} wake-ups were accepted, and the ledger knows {kept}"));
    }
    let third = memory.len() / 3;
    let part = |from: usize| median(memory.iter().copied().skip(from).take(third).collect());
    Ok(Run {
        growth: part(2 * third) / part(third),
        memory: part(2 * third),
        refused,
        refused_with_retry_after: figure(&report, "/retry_after"),
        refusal_p99_ms: figure(&report, "/refusal_ms/p99"),
        accepted,
        sent: sent(&after),
    })
}
