//! Who carries pushes: outcomes, latency, pauses, credentials; and stopping and going on.

use std::collections::BTreeMap;

use maud::{Markup, html};
use reveille_model::{CredentialSet, Provider, Timestamp};

use super::Console;
use super::page::{Part, place};
use super::words::{NOTHING, at_most, count, long, many, moment, percent, rate, share};
use crate::board::{SetSeen, lock};

pub(super) fn parts(console: &Console) -> Vec<Part> {
    let now = console.now();
    let sets = console.api.intake.board.sets();
    let shown = html! {
        @if sets.is_empty() { p.note { "There is no [fcm.*], [apns.*] or [webpush] section." } }
        @for (set, seen) in &sets { (set_card(console, (set, &lock(seen)), now)) }
    };
    vec![Part::new("sets", shown), Part::new("halted", halted(console))]
}

pub(super) fn content(console: &Console, parts: &[Part]) -> Markup {
    let halted = console.api.halting.halted();
    html! {
        section aria-labelledby="delivery-title" {
            h2 #delivery-title { "Delivery" }
            (place(parts, "halted"))
            p.note { "While a provider is paused everything is accepted as before and waits, as long as its time to live. It holds for all nodes, over restarts." }
            div.buttons {
                @for provider in used(console) {
                    form method="post" action="/console/providers" {
                        input type="hidden" name="provider" value=(provider.as_str());
                        @if halted.contains(provider) {
                            button name="do" value="resume" { "Resume " (provider.as_str()) }
                        } @else {
                            button.danger name="do" value="pause" { "Pause " (provider.as_str()) }
                        }
                    }
                }
            }
        }
        section aria-labelledby="sets-title" {
            h2 #sets-title { "Credential sets, as this node sees them" }
            (place(parts, "sets"))
        }
    }
}

/// The providers there are credentials of.
fn used(console: &Console) -> Vec<Provider> {
    let sets = console.api.intake.board.sets();
    let has = |provider: Provider| sets.iter().any(|(set, _)| set.provider() == provider);
    Provider::ALL.into_iter().filter(|provider| has(*provider)).collect()
}

fn halted(console: &Console) -> Markup {
    let halted = console.api.halting.halted();
    let names: Vec<&str> = Provider::ALL
        .into_iter()
        .filter(|provider| halted.contains(*provider))
        .map(Provider::as_str)
        .collect();
    html! {
        @if names.is_empty() {
            p.good { "Delivery goes on everywhere." }
        } @else {
            p.bad { "Paused by an operator: " (names.join(", ")) "." }
        }
    }
}

/// In a word.
fn state(console: &Console, set: &CredentialSet, seen: &SetSeen, now: Timestamp) -> (bool, String) {
    if console.api.halting.halted().contains(set.provider()) {
        (false, "paused by an operator".to_owned())
    } else if let Some(until) = seen.paused_until.filter(|until| now < *until) {
        // What a provider has asked for with Retry-After is such a pause too.
        let (end, rest) = (moment(until), long(until.since(now)));
        (
            false,
            format!("paused until {end}, for {rest}: the provider asked for it, or is in trouble"),
        )
    } else if seen.is_refused {
        (false, "our configuration is refused".to_owned())
    } else if seen.is_tripped {
        (false, "too many of its devices look dead; verdicts are held in quarantine".to_owned())
    } else if seen.scopes_paused > 0 {
        (
            false,
            many(
                seen.scopes_paused as u64,
                "topic or host is paused",
                "topics or hosts are paused",
            ),
        )
    } else {
        (true, "sending".to_owned())
    }
}

fn set_card(console: &Console, (set, seen): (&CredentialSet, &SetSeen), now: Timestamp) -> Markup {
    let (is_well, state) = state(console, set, seen, now);
    let recent = seen.answers.recent(now);
    let expiry = console.facts.expiries.of(set);
    let id = format!("set-{set}").replace('.', "-");
    html! {
        article aria-labelledby=(id) {
            h3 #(id) { (set) }
            dl.facts {
                dt { "State" } dd .good[is_well] .bad[!is_well] { (state) }
                dt { "Answers in the last minute" } dd { (count(recent.count)) ", " (rate(recent.per_s)) "/s; " (percent(share(recent.bad, recent.count))) " in trouble" }
                dt { "Time to the answer" } dd { "half " (at_most(recent.median_s)) ", 99 in a hundred " (at_most(recent.p99_s)) }
                dt { "In flight" } dd { (count(seen.in_flight as u64)) ", at up to " (count(seen.pace)) " a minute" }
                dt { "Credential" } dd { @match expiry { Some(end) => { "ends at " (moment(end)) ", in " (long(end.since(now))) } None => "does not end by itself" } }
                dt { "Last trouble" } dd {
                    @match seen.last_trouble {
                        Some((at, last)) => { (last.outcome.replace('_', " ")) ": " code { (last.reason) } ", " (long(now.since(at))) " ago" }
                        None => (NOTHING),
                    }
                }
            }
            (outcomes(&seen.outcomes))
        }
    }
}

fn outcomes(outcomes: &BTreeMap<(&'static str, &'static str), u64>) -> Markup {
    html! {
        @if !outcomes.is_empty() {
            details {
                summary { "Answers since the start, by outcome and reason" }
                div.wide role="region" tabindex="0" aria-label="Answers by outcome and reason" {
                    table {
                        thead { tr { th scope="col" { "Outcome" } th scope="col" { "Reason" } th scope="col" { "Answers" } } }
                        tbody {
                            @for ((outcome, reason), number) in outcomes {
                                tr { th scope="row" { (outcome.replace('_', " ")) } td { code { (reason) } } td { (count(*number)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
