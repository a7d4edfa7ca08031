//! The frame of every page.

use axum::response::{Html, IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};

use super::Console;
use super::words::moment;

/// The pages there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Overview,
    Providers,
    Privacy,
    Subscriptions,
    Feedback,
    Configuration,
}

impl Page {
    pub(super) const ALL: [Self; 6] = [
        Self::Overview,
        Self::Providers,
        Self::Privacy,
        Self::Subscriptions,
        Self::Feedback,
        Self::Configuration,
    ];

    /// Its word in addresses.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Providers => "providers",
            Self::Privacy => "privacy",
            Self::Subscriptions => "subscriptions",
            Self::Feedback => "feedback",
            Self::Configuration => "configuration",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.as_str() == word)
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Providers => "Providers",
            Self::Privacy => "Privacy",
            Self::Subscriptions => "Subscriptions",
            Self::Feedback => "Dead tokens",
            Self::Configuration => "Limits and configuration",
        }
    }

    fn path(self) -> String {
        match self {
            Self::Overview => "/console".to_owned(),
            other => format!("/console/{}", other.as_str()),
        }
    }
}

/// A part of a page that is sent again where it has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) id: &'static str,
    pub(super) html: String,
}

impl Part {
    pub(super) fn new(id: &'static str, markup: Markup) -> Self {
        Self { id, html: markup.into_string() }
    }
}

/// A part in its place.
pub(super) fn place(parts: &[Part], id: &str) -> Markup {
    let html = parts.iter().find(|part| part.id == id).map_or("", |part| part.html.as_str());
    html! { div id=(id) { (maud::PreEscaped(html)) } }
}

/// A page of somebody who is logged in.
pub(super) fn framed(console: &Console, page: Page, content: &Markup) -> Response {
    let body = html! {
        a.skip href="#main" { "Skip to the content" }
        header {
            a.name href="/console" { "Reveille" }
            nav aria-label="Console" {
                ul {
                    @for each in Page::ALL {
                        li { a href=(each.path()) aria-current=[(each == page).then_some("page")] { (each.title()) } }
                    }
                }
            }
            form method="post" action="/console/logout" { button { "Log out" } }
        }
        main #main tabindex="-1" data-page=(page.as_str()) {
            div.title {
                h1 { (page.title()) }
                p.live hidden {
                    span #live role="status" { "Connecting…" }
                    " "
                    button #hold type="button" aria-pressed="false" { "Hold updates" }
                }
            }
            noscript { p.note { "Without scripts this page shows how it was at " (moment(console.now())) " UTC. Reload it to see more." } }
            (content)
        }
        footer {
            p { "Times are UTC. What is marked ‘this node’ is of the process that answers, since " (moment(console.facts.started_at)) ", and all else of the store. Reveille " (env!("CARGO_PKG_VERSION")) "." }
        }
    };
    document(page.title(), &body)
}

/// A whole document.
pub(super) fn document(title: &str, body: &Markup) -> Response {
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Reveille" }
                link rel="stylesheet" href="/console/assets/console.css";
                link rel="icon" href="data:,";
                script type="module" src="/console/assets/console.js" {}
            }
            body { (body) }
        }
    };
    Html(html.into_string()).into_response()
}

/// The page that asks for a token.
pub(super) fn login(complaint: Option<&str>) -> Response {
    let body = html! {
        main.login #main {
            h1 { "Reveille" }
            form method="post" action="/console/login" {
                label for="token" { "Operator token" }
                input #token name="token" type="password" autocomplete="current-password" required autofocus
                    aria-describedby=[complaint.map(|_| "complaint")] aria-invalid=[complaint.map(|_| "true")];
                @if let Some(complaint) = complaint { p.bad #complaint role="alert" { (complaint) } }
                button { "Log in" }
            }
            p.note { "One of the lines of the file that push.console.tokens_file names." }
        }
    };
    document("Log in", &body)
}
