//! A page's parts as a stream of events (HTML: server-sent events), each when it has changed.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reveille_model::{Duration, Timestamp};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::Console;
use super::page::{Page, Part};
use super::router::parts;

/// How often a page is looked at again.
const EVERY: Duration = Duration::from_s(1);
/// Streams that may be open at once.
pub(super) const STREAMS_MAX: usize = 32;

/// A stream under way.
struct Streamed {
    console: Console,
    page: Page,
    /// What was sent last.
    sent: Vec<Part>,
    next: Timestamp,
    /// By which its operator is known. It ends with their login.
    headers: HeaderMap,
    _permit: OwnedSemaphorePermit,
}

pub(super) async fn stream(
    State(console): State<Console>,
    Path(page): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(page) = Page::parse(&page) else { return StatusCode::NOT_FOUND.into_response() };
    let Ok(permit) = Arc::clone(&console.streams).try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let next = console.now().plus(EVERY);
    let streamed = Streamed { console, page, sent: Vec::new(), next, headers, _permit: permit };
    let mut response = Sse::new(events(streamed)).into_response();
    // A proxy that collects would make it stand still.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn events(streamed: Streamed) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold(streamed, |mut streamed| async move {
        let event = streamed.next().await?;
        Some((Ok(event), streamed))
    })
}

impl Streamed {
    /// The parts that have changed, in one event; nothing where it is over.
    async fn next(&mut self) -> Option<Event> {
        let clock = Arc::clone(&self.console.api.intake.clock);
        tokio::select! {
            () = clock.sleep_until(self.next) => {}
            () = self.console.lifecycle.stopping() => return None,
        }
        let now = clock.now();
        if !self.console.sessions.knows(&self.headers, now) {
            return None;
        }
        self.next = now.plus(EVERY);
        let Ok(parts) = parts(&self.console, self.page).await else {
            return Some(Event::default().event("trouble").data("the store cannot be asked"));
        };
        let changed: Vec<_> = parts.iter().filter(|part| !self.sent.contains(part)).collect();
        let changed = changed.iter().map(|part| json!({"id": part.id, "html": part.html}));
        // Also where nothing has: whoever looks sees that it lives.
        let event =
            Event::default().event("parts").data(json!(changed.collect::<Vec<_>>()).to_string());
        self.sent = parts;
        Some(event)
    }
}
