//! Devices: how many, of whom, how they grow; and looking one user or notification up.

use maud::{Markup, html};
use reveille_model::{Duration, Provider, Timestamp};
use reveille_store::StoreError;

use super::page::{Part, place};
use super::words::{NOTHING, count, many};
use super::{Console, chart, look_up};
use crate::board::Growth;

const HOUR: Duration = Duration::from_s(3_600);
const DAY: Duration = Duration::from_s(86_400);
/// Ages by which devices are counted, in days.
const AGES_DAYS: [u16; 5] = [1, 7, 30, 90, 365];

pub(super) async fn parts(console: &Console) -> Result<Vec<Part>, StoreError> {
    let store = &console.api.intake.store;
    let kinds = store.kinds().await?;
    let (all, suspect) = store.count().await?;
    let days = store.refresh_days().await?;
    let now = console.now();
    let counts = html! {
        p { strong { (many(all, "device", "devices")) } ", " (count(suspect)) " of them suspect." }
        div.wide role="region" tabindex="0" aria-label="Devices by provider" {
            table {
                caption { "By provider, credential set and topic; and what they have grown by, since the start of this node at the longest" }
                thead { tr { th scope="col" { "Provider" } th scope="col" { "Credential set" } th scope="col" { "Topic" } th scope="col" { "Devices" } th scope="col" { "In an hour" } th scope="col" { "In a day" } } }
                tbody {
                    @for kind in kinds.iter().filter(|(.., number)| *number > 0) {
                        @let (set, topic, number) = kind;
                        tr {
                            th scope="row" { (set.provider().as_str()) }
                            td { (set) }
                            td { (topic.as_ref().map_or("", |topic| topic.as_str())) }
                            td { (count(*number)) }
                            @for span in [HOUR, DAY] { td { (grown(console.looks.growth(kind, (now, span)))) } }
                        }
                    }
                }
            }
        }
    };
    Ok(vec![
        Part::new("counts", counts),
        Part::new("ages", ages(&days, now)),
        Part::new("growth", growth(console, now)),
    ])
}

pub(super) fn content(parts: &[Part], found: Option<&Markup>) -> Markup {
    html! {
        (look_up::forms())
        @if let Some(found) = found {
            section #found tabindex="-1" aria-labelledby="found-title" { h2 #found-title { "Found" } (found) }
        }
        section aria-labelledby="counts-title" { h2 #counts-title { "Devices" } (place(parts, "counts")) }
        section aria-labelledby="growth-title" { h2 #growth-title { "Growth, on this node" } (place(parts, "growth")) }
        section aria-labelledby="ages-title" { h2 #ages-title { "How long ago their apps registered them" } (place(parts, "ages")) }
    }
}

/// `+12`, `−3`.
fn grown(by: Option<i64>) -> String {
    match by {
        None => NOTHING.to_owned(),
        Some(by @ ..0) => format!("−{}", count(by.unsigned_abs())),
        Some(by) => format!("+{}", count(by.unsigned_abs())),
    }
}

fn ages(days: &[(i64, u64)], now: Timestamp) -> Markup {
    let since = |age: u16| -> u64 {
        let first = now.day() - i64::from(age);
        days.iter().filter(|(day, _)| *day > first).map(|(_, number)| number).sum()
    };
    html! {
        div.wide role="region" tabindex="0" aria-label="Devices by age" {
            table {
                thead { tr { th scope="col" { "Within" } th scope="col" { "Devices" } } }
                tbody { @for age in AGES_DAYS { tr { th scope="row" { (many(age.into(), "day", "days")) } td { (count(since(age))) } } } }
            }
        }
    }
}

fn growth(console: &Console, now: Timestamp) -> Markup {
    let growth = console.api.intake.board.growth();
    let none = Growth::default();
    html! {
        div.wide role="region" tabindex="0" aria-label="Growth by provider" {
            table {
                caption { "In the last minute, and since the start" }
                thead { tr { th scope="col" { "Provider" } th scope="col" { "Came" } th scope="col" { "Deleted" } th scope="col" { "Dead" } } }
                tbody {
                    @for provider in Provider::ALL {
                        @let of = growth.get(&provider).unwrap_or(&none);
                        tr {
                            th scope="row" { (provider.as_str()) }
                            @for meter in [&of.created, &of.deleted, &of.dropped] {
                                td { (count(meter.recent(now).count)) " / " (count(meter.total())) }
                            }
                        }
                    }
                }
            }
        }
        div.sparks {
            @for (provider, of) in growth.iter() {
                div { h3 { "Came at " (provider.as_str()) } (chart::sparkline("Devices that came", &of.created.counts(now))) }
            }
        }
    }
}
