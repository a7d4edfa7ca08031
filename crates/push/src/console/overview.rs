//! The first page: what needs somebody, the four golden signals, the outbox, and the window that is open.

use maud::{Markup, html};
use reveille_model::{Duration, Provider, Settled, Timestamp};
use reveille_store::{Depth, StoreError};

use super::page::{Part, place};
use super::words::{at_most, count, long, many, moment, percent, rate, share};
use super::{Console, chart};
use crate::board::{Recent, lock};

/// What waits so long after its window ended is late (docs/slo.md).
const LATE: Duration = Duration::from_s(10);
/// A credential that ends so soon needs somebody.
const EXPIRES_SOON: Duration = Duration::from_s(30 * 86_400);

pub(super) async fn parts(console: &Console) -> Result<Vec<Part>, StoreError> {
    let (store, now) = (&console.api.intake.store, console.now());
    let depth = store.depth().await?;
    let untold = store.untold_count().await?;
    let quarantined = store.quarantined_count().await?;
    let troubles = troubles(console, (&depth, quarantined, untold.1), now).await;
    Ok(vec![
        Part::new("attention", attention(&troubles)),
        Part::new("signals", signals(console, &depth, now)),
        Part::new("window", window(console, now)),
        Part::new("outbox", outbox(console, &depth, now)),
    ])
}

pub(super) fn content(parts: &[Part]) -> Markup {
    html! {
        section aria-labelledby="attention-title" {
            h2 #attention-title { "What needs somebody" }
            (place(parts, "attention"))
        }
        section aria-labelledby="signals-title" {
            h2 #signals-title { "Now, on this node" }
            (place(parts, "signals"))
        }
        section aria-labelledby="window-title" {
            h2 #window-title { "The window" }
            (place(parts, "window"))
        }
        section aria-labelledby="outbox-title" {
            h2 #outbox-title { "The outbox" }
            (place(parts, "outbox"))
        }
    }
}

/// Something for somebody to do: what is wrong, and the page that says more.
struct Trouble {
    what: String,
    page: &'static str,
}

async fn troubles(
    console: &Console,
    (depth, quarantined, untold_since): (&Depth, u64, Option<Timestamp>),
    now: Timestamp,
) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut say = |what: String, page: &'static str| troubles.push(Trouble { what, page });
    if console.api.readiness.answer().await.is_err() {
        say("This node is not ready: /readyz says why.".to_owned(), "overview");
    }
    let late = depth.oldest_window_end.map_or(Duration::ZERO, |end| now.since(end));
    if late > LATE {
        let late = long(late);
        say(format!("The oldest wake-up has waited {late} since its window ended."), "providers");
    }
    if depth.ledger.waiting >= console.api.intake.settings.waiting_max {
        say("The outbox is full: callers hear 503.".to_owned(), "overview");
    }
    let halted = console.api.halting.halted();
    for provider in Provider::ALL.into_iter().filter(|each| halted.contains(*each)) {
        say(format!("An operator has paused delivery at {}.", provider.as_str()), "providers");
    }
    for (set, seen) in console.api.intake.board.sets() {
        let seen = lock(&seen);
        if seen.is_refused {
            say(format!("Our configuration of {set} is refused."), "providers");
        }
        if seen.is_tripped {
            say(
                format!(
                    "Too many devices of {set} look dead at once: verdicts are held in quarantine."
                ),
                "feedback",
            );
        }
        if let Some(until) = seen.paused_until.filter(|until| now < *until) {
            say(format!("{set} is paused for {}.", long(until.since(now))), "providers");
        }
    }
    for (set, end) in console.facts.expiries.all() {
        if end < now.plus(EXPIRES_SOON) {
            say(format!("The certificate of {set} ends at {} UTC.", moment(end)), "providers");
        }
    }
    if quarantined > 0 {
        say(
            format!("{} in quarantine.", many(quarantined, "device is", "devices are")),
            "feedback",
        );
    }
    if let Some(since) = untold_since.filter(|since| now.since(*since) > Duration::from_s(600)) {
        say(format!("Deaths wait to be told since {}.", long(now.since(since))), "feedback");
    }
    troubles
}

fn attention(troubles: &[Trouble]) -> Markup {
    html! {
        @if troubles.is_empty() {
            p.good { "Nothing does." }
        } @else {
            ul.attention {
                @for Trouble { what, page } in troubles {
                    li { (what) " " a href=(format!("/console/{page}")) { "More about " (page) } }
                }
            }
        }
    }
}

/// A figure with its name, and what it is made of.
fn figure(name: &str, value: &str, more: &str) -> Markup {
    html! { div { dt { (name) } dd { strong { (value) } @if !more.is_empty() { span { (more) } } } } }
}

fn signals(console: &Console, depth: &Depth, now: Timestamp) -> Markup {
    let board = &console.api.intake.board;
    let (requests, request_counts) = board.requests(now);
    let (accepted, accepted_counts) = board.acceptance(now);
    let pushes = pushes(console, now);
    let in_flight: usize = board.sets().iter().map(|(_, seen)| lock(seen).in_flight).sum();
    let full = share(depth.ledger.waiting, console.api.intake.settings.waiting_max);
    html! {
        dl.figures {
            (figure("Traffic", &format!("{} requests/s", rate(requests.per_s)),
                &format!("{} wake-ups/s accepted, {} pushes/s answered", rate(accepted.per_s), rate(pushes.per_s))))
            (figure("Latency of requests", &at_most(requests.median_s),
                &format!("half of them; 99 in a hundred {}", at_most(requests.p99_s))))
            (figure("Errors", &percent(share(requests.bad, requests.count)),
                &format!("of requests, by our fault; {} of pushes were not taken", percent(share(pushes.bad, pushes.count)))))
            (figure("Saturation", &percent(full),
                &format!("of the outbox; {} in flight", many(in_flight as u64, "push", "pushes"))))
        }
        div.sparks {
            div { h3 { "Requests" } (chart::sparkline("Requests", &request_counts)) }
            div { h3 { "Wake-ups accepted" } (chart::sparkline("Wake-ups accepted", &accepted_counts)) }
        }
    }
}

/// Answers of all providers together.
fn pushes(console: &Console, now: Timestamp) -> Recent {
    let none = Recent { per_s: 0.0, count: 0, bad: 0, median_s: None, p99_s: None };
    console.api.intake.board.sets().iter().fold(none, |sum, (_, seen)| {
        let of_set = lock(seen).answers.recent(now);
        Recent {
            per_s: sum.per_s + of_set.per_s,
            count: sum.count + of_set.count,
            bad: sum.bad + of_set.bad,
            ..sum
        }
    })
}

fn window(console: &Console, now: Timestamp) -> Markup {
    let (board, open) =
        (&console.api.intake.board, console.api.intake.settings.schedule.window(now));
    let batches = board.batches();
    let gathering = board.gathering();
    let left = open.end.since(now);
    html! {
        p.countdown { "It ends in " strong { (long(Duration::from_ms(left.as_ms().div_ceil(1_000) * 1_000))) } ", at " (moment(open.end)) "." }
        (chart::windows(&batches, gathering, (open.start, open.end), now))
        p { (many(gathering, "wake-up gathers", "wake-ups gather")) " on this node." }
        @if let Some(last) = batches.iter().rev().find(|batch| batch.wakeups > 0) {
            p {
                "The last batch that left, at " (moment(last.at)) ", had " (many(last.wakeups, "wake-up", "wake-ups"))
                @if last.cohorts > 0 { " of " (many(last.cohorts as u64, "cohort", "cohorts")) }
                ", and " (count(last.collapsed)) " had joined others."
            }
        }
    }
}

fn outbox(console: &Console, depth: &Depth, now: Timestamp) -> Markup {
    let ledger = depth.ledger;
    let late = depth.oldest_window_end.map_or(Duration::ZERO, |end| now.since(end));
    let max = console.api.intake.settings.waiting_max;
    html! {
        dl.figures {
            (figure("Waiting", &count(ledger.waiting), &format!("of {} that may", count(max))))
            (figure("Oldest", &long(late), "after its window ended"))
            (figure("Scheduled", &count(depth.scheduled), "notifications whose time has not come"))
        }
        div.wide role="region" tabindex="0" aria-label="Everything ever accepted" {
            table {
                caption { "Everything ever accepted, by where it is. It always adds up." }
                thead { tr { th scope="col" { "State" } th scope="col" { "Wake-ups" } } }
                tbody {
                    tr { th scope="row" { "accepted" } td { (count(ledger.accepted)) } }
                    tr { th scope="row" { "waiting" } td { (count(ledger.waiting)) } }
                    tr { th scope="row" { "collapsed" } td { (count(ledger.collapsed)) } }
                    @for how in Settled::ALL {
                        tr { th scope="row" { (how.as_str().replace('_', " ")) } td { (count(ledger.settled(how))) } }
                    }
                }
            }
        }
    }
}
