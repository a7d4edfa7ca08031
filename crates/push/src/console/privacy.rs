//! What whoever watches can tell.

use maud::{Markup, html};
use reveille_store::Census;

use super::Console;
use super::page::{Part, place};
use super::words::{NOTHING, count, long, many, percent, rate};
use crate::board::PrivacySeen;
use crate::config::MixMode;

pub(super) fn parts(console: &Console) -> Vec<Part> {
    let seen = console.api.intake.board.privacy().clone();
    vec![
        Part::new("figures", figures(console, &seen)),
        Part::new("cohorts", cohorts(console, &seen)),
    ]
}

pub(super) fn content(console: &Console, parts: &[Part]) -> Markup {
    html! {
        section aria-labelledby="figures-title" {
            h2 #figures-title { "What whoever watches can tell" }
            (place(parts, "figures"))
        }
        section aria-labelledby="cohorts-title" {
            h2 #cohorts-title { "Cohorts" }
            (place(parts, "cohorts"))
        }
        section aria-labelledby="not-title" {
            h2 #not-title { "What is not protected" }
            (not_protected(console))
        }
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), rate)
}

fn figures(console: &Console, seen: &PrivacySeen) -> Markup {
    let facts = &console.facts;
    html! {
        dl.facts {
            dt { "Mode" } dd { strong { (facts.mode.as_str()) } }
            dt { "The best guess whose device it is" } dd {
                (seen.worst_top1.map_or_else(|| NOTHING.to_owned(), percent))
                " right, of whoever watches the smallest cohort for ever"
            }
            @if facts.mode == MixMode::Batch {
                dt { "Until a device is told" } dd { (number(seen.events_to_link)) " events of its account, on average" }
            }
            dt { "Among how many users one event is hidden" } dd { (number(seen.effective_set)) ", in the last batch (two to the power of the entropy)" }
            dt { "Order of arrival in that of departure" } dd { (seen.order_rho.map_or_else(|| NOTHING.to_owned(), |rho| format!("{rho:.3}"))) " (rank correlation; 0 tells nothing)" }
            dt { "Wake-ups of a device today" } dd {
                @match seen.per_day {
                    Some((mean, most)) => { (rate(mean)) " on average, " (most) " at most, of " (facts.per_day_max) " that are allowed" }
                    None => (NOTHING),
                }
            }
            dt { "What hiding costs" } dd { (number(seen.overhead)) " wake-ups for each that was asked for" }
        }
    }
}

fn cohorts(console: &Console, seen: &PrivacySeen) -> Markup {
    let (form, floor) = console.facts.sizes;
    html! {
        @if console.facts.mode == MixMode::Batch {
            p { "There are none in mode batch: it protects single events only. Whoever watches an account for a few of them can tell its device." }
        } @else {
            @match &seen.census {
                None => p.note { "They are counted when the first window ends." },
                Some(census) => (counted(census, seen, (form, floor))),
            }
        }
    }
}

fn counted(census: &Census, seen: &PrivacySeen, (form, floor): (usize, usize)) -> Markup {
    let users =
        |sizes: &[(u64, u64)]| sizes.iter().map(|(size, number)| size * number).sum::<u64>();
    let below: u64 = census
        .sizes
        .iter()
        .filter(|(size, _)| *size < floor as u64)
        .map(|(_, number)| number)
        .sum();
    html! {
        dl.facts {
            dt { "In cohorts" } dd { (many(users(&census.sizes), "user", "users")) " in " (many(census.sizes.iter().map(|(_, number)| number).sum(), "cohort", "cohorts")) "; formed of " (form) ", retired below " (floor) }
            dt { "Below their floor" } dd .bad[below > 0] { (count(below)) }
            dt { "Waiting to be enough" } dd { (many(users(&census.provisional), "user", "users")) "; " (many(seen.exposed, "was", "were")) " woken with fewer because their deadline had come" }
            dt { "Padding" } dd { (count(seen.padding)) " wake-ups of users nothing was accepted for" }
            dt { "Kept back by their budget" } dd { (count(seen.capped as u64)) " in the last window" }
            dt { "Ghosts" } dd { (count(census.ghosts)) " users who are gone, and whose events go on waking their cohort" }
            dt { "Sealed devices" } dd { (count(census.sealed)) }
        }
        @if !census.sizes.is_empty() {
            div.wide role="region" tabindex="0" aria-label="Cohorts by size" {
                table {
                    caption { "Cohorts by how many users live in them" }
                    thead { tr { th scope="col" { "Users" } th scope="col" { "Cohorts" } } }
                    tbody { @for (size, number) in &census.sizes { tr { th scope="row" { (count(*size)) } td { (count(*number)) } } } }
                }
            }
        }
    }
}

fn not_protected(console: &Console) -> Markup {
    let facts = &console.facts;
    html! {
        ul {
            @for warning in &facts.warnings { li { (warning) } }
            li { "That an account has a device here, and at which provider, is known to that provider." }
            li { "Devices that show every push (APNs alerts, browsers) cannot be woken for others: they are in no cohort." }
            li { "When a woken device fetches, the site sees its address; fetching at once tells whoever sees both networks." }
            li { "Sealed devices are woken every " (long(facts.sealed_period)) ", whatever happens: they tell nothing, and wait longer." }
        }
        p.note { code { "reveille lab" } " measures all of it against an observer with the provider's records." }
    }
}
