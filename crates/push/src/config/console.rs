//! `[push.console]`: who may look at the console.

use reveille_model::Duration;
use reveille_service::auth::Callers;
use reveille_service::config::{Document, Section};

/// How long an operator stays logged in unless set, in hours.
const HOURS_DEFAULT: u32 = 12;
/// And at most: a month.
const HOURS_MAX: u32 = 720;

/// The section, read.
#[derive(Debug, Clone)]
pub(crate) struct ConsoleConfig {
    /// The tokens of those who may.
    pub(crate) operators: Callers,
    /// Whether the browser keeps the cookie off unencrypted connections. Nothing where that follows from whether the listener has TLS.
    pub(crate) secure_cookie: Option<bool>,
    pub(crate) login: Duration,
}

impl ConsoleConfig {
    /// Reads it again.
    pub(crate) fn reread(document: &Document) -> Option<Self> {
        Self::read(document.section("push").section("console"))
    }

    /// Nothing where there is no such section, or something is wrong with it.
    pub(super) fn read(mut section: Section) -> Option<Self> {
        if section.is_empty() {
            return None;
        }
        let secure_cookie = section.boolean("secure_cookie");
        let hours = section.number("login_hours", 1..=HOURS_MAX).unwrap_or(HOURS_DEFAULT);
        let operators = match section.path("tokens_file") {
            Some(path) => Callers::from_file(&path)
                .map_err(|error| {
                    section.problem("tokens_file", format!("{}: {error}", path.display()));
                })
                .ok(),
            None => {
                section.problem(
                    "tokens_file",
                    "this is missing; name a file with one token a line, each of 16 or more characters, as `openssl rand -hex 32` makes them",
                );
                None
            }
        };
        section.finish();
        Some(Self { operators: operators?, secure_cookie, login: Duration::from_s(hours * 3_600) })
    }
}
