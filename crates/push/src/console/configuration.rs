//! Limits, and every setting as it is running.

use maud::{Markup, html};
use reveille_model::Limit;

use super::Console;
use super::words::{count, long};

pub(super) fn content(console: &Console) -> Markup {
    let settings = &console.api.intake.settings;
    let unlimited = settings.default_limit.is_none() && settings.limits.is_empty();
    html! {
        section aria-labelledby="limits-title" {
            h2 #limits-title { "Limits" }
            @if unlimited {
                p { "None is set: every notification wakes. " code { "[push.limits.default]" } " sets one." }
            } @else {
                div.wide role="region" tabindex="0" aria-label="Limits by event type" {
                    table {
                        caption { "How many notifications of an event type a user gets" }
                        thead { tr { th scope="col" { "Event type" } th scope="col" { "Notifications" } th scope="col" { "In" } } }
                        tbody {
                            @for (event, limit) in &settings.limits { (row(event.as_str(), limit)) }
                            @if let Some(limit) = &settings.default_limit { (row("all others, each", limit)) }
                        }
                    }
                }
            }
            p { "What was beyond a limit is counted as limited in the outbox's account, and by event type nowhere." }
        }
        section aria-labelledby="settings-title" {
            h2 #settings-title { "Settings" }
            p.note { "What the file and the environment set, as it is running. Secrets stand in files of their own, and are not shown. What is not here has its default: docs/operations.md." }
            div.wide role="region" tabindex="0" aria-label="Settings" {
                table.settings {
                    thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } } }
                    tbody { @for (path, value) in &console.facts.settings { tr { th scope="row" { code { (path) } } td { code { (value) } } } } }
                }
            }
        }
    }
}

fn row(event: &str, limit: &Limit) -> Markup {
    html! { tr { th scope="row" { (event) } td { (count(limit.count.into())) } td { (long(limit.per)) } } }
}
