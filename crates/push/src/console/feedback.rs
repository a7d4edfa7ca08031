//! Dead tokens: what was dropped on proof, whether verdicts can be believed, and what is held until they can.

use std::sync::{Arc, Mutex};

use maud::{Markup, html};
use reveille_model::{CredentialSet, Timestamp};
use reveille_store::{Quarantined, StoreError};

use super::Console;
use super::page::{Part, place};
use super::words::{NOTHING, count, long, many, moment};
use crate::board::{SetSeen, lock};

/// Devices in quarantine that are shown; the rest are counted.
const SHOWN_MAX: usize = 50;

pub(super) async fn parts(console: &Console) -> Result<Vec<Part>, StoreError> {
    let (store, now) = (&console.api.intake.store, console.now());
    let all = store.quarantined_count().await?;
    let devices = store.quarantined(None, SHOWN_MAX).await?;
    let untold = store.untold_count().await?;
    Ok(vec![
        Part::new("guard", guard(console)),
        Part::new("quarantine", quarantine(&devices, all)),
        Part::new("told", told(console, untold, now)),
    ])
}

pub(super) fn content(console: &Console, parts: &[Part]) -> Markup {
    let sets = console.api.intake.board.sets();
    html! {
        section aria-labelledby="guard-title" { h2 #guard-title { "Whether verdicts are believed" } (place(parts, "guard")) }
        section aria-labelledby="quarantine-title" {
            h2 #quarantine-title { "Quarantine" }
            p.note { "Devices that look dead while a mistake of ours would look the same. Releasing is the undo: they live, and what waits for them is due now. Dropping believes the verdicts." }
            (place(parts, "quarantine"))
            form.row method="post" action="/console/feedback" {
                (which("release-which", &sets))
                button name="do" value="release" { "Release" }
            }
            form.row method="post" action="/console/feedback" {
                (which("drop-which", &sets))
                label { input type="checkbox" required; " There is no way back" }
                button.danger name="do" value="drop" { "Drop" }
            }
        }
        section aria-labelledby="told-title" { h2 #told-title { "Who is told" } (place(parts, "told")) }
    }
}

/// Which devices are meant.
fn which(id: &str, sets: &[(CredentialSet, Arc<Mutex<SetSeen>>)]) -> Markup {
    html! {
        label for=(id) { "Which" }
        select #(id) name="set" {
            option value="" { "all of them" }
            @for (set, _) in sets { option value=(set) { "those of " (set) } }
        }
    }
}

fn guard(console: &Console) -> Markup {
    let sets = console.api.intake.board.sets();
    let tripped: Vec<String> = sets
        .iter()
        .filter(|(_, seen)| lock(seen).is_tripped)
        .map(|(set, _)| set.to_string())
        .collect();
    let growth = console.api.intake.board.growth();
    let dropped: u64 = growth.values().map(|of| of.dropped.total()).sum();
    html! {
        @if tripped.is_empty() {
            p.good { "Everywhere: no credential set has more dead devices than are usual." }
        } @else {
            p.bad { "Not of " (tripped.join(", ")) ": too many devices look dead at once. Is a topic, key, project or environment of ours wrong? Nothing is lost: what could be our mistake is held." }
        }
        p { (many(dropped, "device was", "devices were")) " dropped on proof since this node started." }
    }
}

fn quarantine(devices: &[Quarantined], all: u64) -> Markup {
    html! {
        @if all == 0 {
            p.good { "Nobody is in it." }
        } @else {
            p.bad { (many(all, "device is", "devices are")) " in it" @if all > devices.len() as u64 { ", of which " (count(devices.len() as u64)) " are shown" } "." }
            div.wide role="region" tabindex="0" aria-label="Devices in quarantine" {
                table {
                    thead { tr { th scope="col" { "Device" } th scope="col" { "Credential set" } th scope="col" { "Reason" } th scope="col" { "Since" } th scope="col" { "Verdicts" } th scope="col" { "Next try" } } }
                    tbody {
                        @for device in devices {
                            tr {
                                th scope="row" { code { (device.id) } }
                                td { (device.set) @if let Some(topic) = &device.topic { " " (topic.as_str()) } }
                                td { code { (device.reason) } }
                                td { (moment(device.since)) }
                                td { (count(device.verdicts.into())) }
                                td { (moment(device.next_try)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn told(
    console: &Console,
    (count_untold, oldest): (u64, Option<Timestamp>),
    now: Timestamp,
) -> Markup {
    let tell = &console.api.tell;
    html! {
        @if tell.is_empty() {
            p { "Nobody besides: push.feedback.mode is own." }
        } @else {
            p {
                (many(count_untold, "death waits", "deaths wait")) " to be told, the oldest since "
                (oldest.map_or_else(|| NOTHING.to_owned(), |at| long(now.since(at)))) "."
            }
        }
    }
}
