//! What somebody at the support desk asks: which devices has this user, and why did that notification leave, or not?

use maud::{Markup, html};
use reveille_model::{NotificationId, Settled, Subscription, User};
use reveille_store::{StoreError, Trail};

use super::Console;
use super::words::{count, many, moment};

pub(super) fn forms() -> Markup {
    html! {
        section.look-up aria-labelledby="look-title" {
            h2 #look-title { "Look up" }
            form method="post" action="/console/subscriptions#found" {
                label for="user" { "User" }
                input #user name="user" required maxlength="255" autocomplete="off" spellcheck="false";
                button { "Show devices" }
            }
            form method="post" action="/console/subscriptions#found" {
                label for="notification" { "Notification id" }
                input #notification name="notification" required maxlength="64" autocomplete="off" spellcheck="false";
                button { "Show its trail" }
            }
            p.note { "What you type here stands in no address, log or history. Tokens are never shown." }
        }
    }
}

/// The devices of a user.
pub(super) async fn user(console: &Console, text: &str) -> Result<Markup, StoreError> {
    let Ok(user) = User::parse(text) else {
        return Ok(html! { p.bad { "That is no user: a user is 1 to 255 bytes." } });
    };
    let devices = console.api.intake.store.list(&user).await?;
    Ok(html! {
        p { "This user has " (many(devices.len() as u64, "device", "devices")) "." }
        @for (place, device) in devices.iter().enumerate() { (shown(console, place + 1, device)) }
    })
}

fn shown(console: &Console, place: usize, device: &Subscription) -> Markup {
    let intake = &console.api.intake;
    let is_stale = intake.stale_before().is_some_and(|before| device.refreshed_at < before);
    let last = intake.board.last_outcome(device.id);
    html! {
        article {
            h3 { "Device " (place) ": " (device.set.provider().as_str()) }
            dl.facts {
                dt { "Id" } dd { code { (device.id) } }
                dt { "Credential set" } dd { (device.set) }
                @if let Some(topic) = &device.topic { dt { "Topic" } dd { (topic.as_str()) } }
                dt { "Woken" } dd { (intake.mixed(device).as_str()) }
                dt { "First registered" } dd { (moment(device.created_at)) }
                dt { "Last registered" } dd { (moment(device.refreshed_at)) @if is_stale { ", which is stale" } }
                dt { "Last outcome" } dd {
                    @match last {
                        Some(last) => {
                            (last.outcome.replace('_', " "))
                            @if last.reason != "none" { ": " code { (last.reason) } }
                            ", on this node"
                        }
                        None => "this node has not woken it since it started, or not lately",
                    }
                }
                @if let Some(since) = device.suspect_since {
                    dt { "Looks dead" } dd.bad { "since " (moment(since)) "; see Dead tokens" }
                }
            }
        }
    }
}

/// What became of a notification.
pub(super) async fn notification(console: &Console, text: &str) -> Result<Markup, StoreError> {
    let Ok(id) = NotificationId::parse(text.trim()) else {
        return Ok(
            html! { p.bad { "That is no id of a notification: POST /v1/notifications answers with one." } },
        );
    };
    let Some(trail) = console.api.intake.store.find(id).await? else {
        return Ok(
            html! { p { "It is not known, or its trail is not kept any more (push.trail_retention_s)." } },
        );
    };
    Ok(html! { (told(&trail)) })
}

/// A trail in sentences.
fn told(trail: &Trail) -> Markup {
    let ledger = trail.ledger;
    let why = [
        (Settled::Sent, "left, and their providers took them"),
        (Settled::Limited, "did not leave: their users had as many as push.limits allows"),
        (Settled::Dead, "did not arrive: their providers say that the tokens are dead"),
        (Settled::Expired, "did not leave: their time to live ended first"),
        (Settled::Cancelled, "did not leave: their devices are gone, or their users had looked"),
        (
            Settled::PayloadError,
            "did not leave: they could not be sent (a token that is none, or a message that is refused)",
        ),
        (Settled::DryRun, "were tried only, as was asked"),
    ];
    html! {
        @if trail.taken_back { p { "It was taken back before its time came." } }
        @match (trail.window_end, trail.deliver_after) {
            (Some(end), _) => p { "It joined the window that ended, or ends, at " (moment(end)) "." },
            (None, Some(after)) => p { "It is scheduled: it joins the window in which " (moment(after)) " falls." },
            (None, None) => {},
        }
        @if ledger.accepted == 0 && trail.cohorts == 0 { p { "It named nobody who has a device, or who wants to be woken for its event type." } }
        ul {
            @if trail.cohorts > 0 {
                li { "It wakes " (many(trail.cohorts, "cohort", "cohorts")) @if trail.has_left { ", whose window has left." } @else { ", whose window has not left." } " Which of their devices were meant is not kept anywhere." }
            }
            @if ledger.waiting > 0 { li { (count(ledger.waiting)) " wait: for their window, their provider, or another try." } }
            @if ledger.collapsed > 0 { li { (count(ledger.collapsed)) " joined another wake-up for the same device." } }
            @for (how, what) in why {
                @if ledger.settled(how) > 0 { li { (count(ledger.settled(how))) " " (what) "." } }
            }
        }
    }
}
