//! The connections to one origin, and how a request finds its way.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use reveille_model::{Delay, Duration, Outcome, Reason, Verdict};
use rustls::ClientConfig;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::Origin;
use super::connect::{Opened, connect};
use super::link::Link;
use crate::Current;

/// Largest answer that is read, in bytes. Providers' are a few hundred.
const REPLY_BYTES_MAX: usize = 64 * 1024;
/// How often a request that was provably not processed is sent again (contract: providers.md rule 0.7).
const RESENDS_MAX: u32 = 3;
/// Wait after a failed connection: this, doubling, up to the maximum.
const RECONNECT: (Duration, Duration) = (Duration::from_s(1), Duration::from_s(60));
/// Over how long connections are counted for [`PoolSettings::dials_per_minute_max`].
const MINUTE: Duration = Duration::from_s(60);

/// Bounds of a pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolSettings {
    /// Most connections.
    pub connections_max: usize,
    /// Most connections that are begun in a minute; quick opening and closing is taken for an attack.
    pub dials_per_minute_max: u32,
    /// Most requests under way on one connection, whatever the peer allows.
    pub streams_max: usize,
    /// Most requests under way on a connection before its first answer.
    pub first_streams: usize,
    /// Longest time to connect, TLS included.
    pub connect_timeout: Duration,
    /// Longest time for a request, waiting for a place and sending again included.
    pub request_timeout: Duration,
    /// How often a connection is asked whether it is still there.
    pub ping_interval: Duration,
    /// How long the answer to that may take.
    pub ping_timeout: Duration,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most 64 KiB.
    pub body: Bytes,
    /// The connection it came over.
    link: Weak<Link>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// No connection could be made, or the peer turned the request away unread. It was not processed.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// The time was over. It may have been processed.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke. It may have been processed.
    #[error("the connection was lost")]
    Lost,
}

/// Connections to one origin with one set of credentials.
#[derive(Debug)]
pub struct Pool {
    origin: Origin,
    tls: Current<ClientConfig>,
    settings: PoolSettings,
    state: Mutex<State>,
    /// A place became free, a connection was made, or making one failed.
    changed: Notify,
    /// Requests that wait for a place.
    waiting: AtomicUsize,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct State {
    links: Vec<Arc<Link>>,
    dialing: Dialing,
    failures: u32,
    /// Connections begun in the last minute.
    recent_dials: u32,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Dialing {
    #[default]
    Idle,
    UnderWay,
    BackingOff,
}

/// What looking for a place finds.
enum Place {
    On(Arc<Link>),
    Wait,
    Unreachable,
}

/// A taken place; leaving it tells who waits.
struct Held<'a> {
    link: Arc<Link>,
    pool: &'a Pool,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.link.leave_place();
        self.pool.changed.notify_one();
    }
}

/// One of those that wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How one attempt went.
enum Sent {
    Answered(Reply),
    /// Provably not processed; the connection goes on.
    Refused,
    /// Provably not processed; the connection takes nothing more.
    Closing,
    Lost,
}

impl Pool {
    /// A pool without connections; the first request makes one.
    pub fn new(origin: Origin, tls: Arc<ClientConfig>, settings: PoolSettings) -> Arc<Self> {
        Arc::new(Self {
            origin,
            tls: tls.into(),
            settings,
            state: Mutex::default(),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
        })
    }

    /// The origin it connects to.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whom we trust there from now on; connections that there are stay.
    pub fn trust(&self, tls: Arc<ClientConfig>) {
        self.tls.put(tls);
    }

    /// Lets the connection an answer came over take no more requests. Those under way on it may finish.
    pub fn retire(&self, reply: &Reply) {
        if let Some(link) = reply.link.upgrade() {
            link.drain();
        }
    }

    /// Sends a request whose URI is absolute and returns the answer, or why there is none.
    pub async fn send(self: &Arc<Self>, request: Request<Full<Bytes>>) -> Result<Reply, NoReply> {
        let last: Mutex<Option<Arc<Link>>> = Mutex::new(None);
        let sending = self.send_until_answered(request, &last);
        if let Ok(result) =
            tokio::time::timeout(self.settings.request_timeout.to_std(), sending).await
        {
            return result;
        }
        match last.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(link) => {
                link.unheard();
                Err(NoReply::Timeout)
            }
            None => Err(NoReply::Unreachable),
        }
    }

    async fn send_until_answered(
        self: &Arc<Self>,
        request: Request<Full<Bytes>>,
        last: &Mutex<Option<Arc<Link>>>,
    ) -> Result<Reply, NoReply> {
        for _ in 0..=RESENDS_MAX {
            let held = self.place().await?;
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&held.link));
            match attempt(&held.link, request.clone()).await {
                Sent::Answered(reply) => return Ok(reply),
                Sent::Lost => return Err(NoReply::Lost),
                refused => {
                    if matches!(refused, Sent::Closing) {
                        held.link.drain();
                    }
                    *last.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
            }
        }
        Err(NoReply::Unreachable)
    }

    /// Waits for a place on a connection.
    async fn place(self: &Arc<Self>) -> Result<Held<'_>, NoReply> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that no change is missed in between.
            changed.as_mut().enable();
            match self.look_for_place() {
                Place::On(link) => return Ok(Held { link, pool: self }),
                Place::Unreachable => return Err(NoReply::Unreachable),
                Place::Wait => {
                    let _waiting = Waiting::new(&self.waiting);
                    changed.await;
                }
            }
        }
    }

    fn look_for_place(self: &Arc<Self>) -> Place {
        let mut state = self.lock();
        state.links.retain(|link| !link.is_draining());
        let free: usize = state.links.iter().map(|link| link.free()).sum();
        let limit: usize = state.links.iter().map(|link| link.limit()).sum();
        // Another connection when less than a tenth is free, or less than is waited for, which shows where the peer allows so little that the
        // one who looks has always just been given a place; not while one is about to show how much it takes.
        let warming = state.links.iter().any(|link| link.is_warming());
        let waiting = self.waiting.load(Ordering::Acquire);
        let crowded = !warming && (free * 10 < limit || free < waiting || limit == 0);
        if crowded
            && state.links.len() < self.settings.connections_max
            && state.dialing == Dialing::Idle
            && state.recent_dials < self.settings.dials_per_minute_max.max(1)
        {
            state.dialing = Dialing::UnderWay;
            state.recent_dials += 1;
            let pool = Arc::clone(self);
            self.tasks.spawn(async move { pool.dial().await });
            let pool = Arc::downgrade(self);
            self.tasks.spawn(async move {
                wait(MINUTE).await;
                if let Some(pool) = pool.upgrade() {
                    let mut state = pool.lock();
                    state.recent_dials = state.recent_dials.saturating_sub(1);
                    drop(state);
                    pool.changed.notify_waiters();
                }
            });
        }
        let best = state.links.iter().max_by_key(|link| link.free());
        match best {
            Some(link) if link.take_place() => Place::On(Arc::clone(link)),
            None if state.dialing == Dialing::BackingOff => Place::Unreachable,
            _ => Place::Wait,
        }
    }

    /// Makes one connection; after a failure waits before another may be tried.
    async fn dial(self: Arc<Self>) {
        let tls = self.tls.get();
        let connecting = connect(&self.origin, &tls, &self.settings);
        match tokio::time::timeout(self.settings.connect_timeout.to_std(), connecting).await {
            Ok(Ok(opened)) => self.opened(opened),
            failed => {
                let failures = {
                    let mut state = self.lock();
                    state.dialing = Dialing::BackingOff;
                    state.failures = state.failures.saturating_add(1);
                    state.failures
                };
                match failed {
                    Ok(Err(error)) => {
                        tracing::warn!(host = self.origin.host, %error, "cannot connect");
                    }
                    _ => tracing::warn!(host = self.origin.host, "connecting took too long"),
                }
                self.changed.notify_waiters();
                back_off(failures).await;
                self.lock().dialing = Dialing::Idle;
                self.changed.notify_waiters();
            }
        }
    }

    fn opened(self: &Arc<Self>, (sender, mut connection): Opened) {
        let link = Arc::new(Link::new(sender, self.settings.first_streams));
        {
            let mut state = self.lock();
            state.dialing = Dialing::Idle;
            state.failures = 0;
            state.links.push(Arc::clone(&link));
        }
        self.changed.notify_waiters();
        // Weak, both: a connection that drains ends with its last request, those of a pool that is not used any more end with that, and neither must be
        // kept by its own task.
        let (pool, link) = (Arc::downgrade(self), Arc::downgrade(&link));
        let (streams_max, host) = (self.settings.streams_max, self.origin.host.clone());
        let tell = move |pool: &Weak<Self>| {
            if let Some(pool) = pool.upgrade() {
                pool.changed.notify_waiters();
            }
        };
        self.tasks.spawn(async move {
            let ended = poll_fn(|cx| {
                let polled = Future::poll(Pin::new(&mut connection), cx);
                // The peer may have changed its limit; this is where that shows.
                let allowed = connection.current_max_send_streams().min(streams_max);
                if link.upgrade().is_some_and(|link| link.allow(allowed)) {
                    tell(&pool);
                }
                polled
            })
            .await;
            if let Some(link) = link.upgrade() {
                link.drain();
            }
            tell(&pool);
            match ended {
                Ok(()) => tracing::info!(host, "a connection was closed"),
                Err(error) => tracing::info!(host, %error, "a connection was lost"),
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn back_off(failures: u32) {
    let (first, longest) = RECONNECT;
    let doubled = Duration::from_ms(first.as_ms() << failures.saturating_sub(1).min(16));
    wait(doubled.min(longest)).await;
}

#[expect(clippy::disallowed_methods, reason = "a wait of its own, not a decision about wake-ups")]
async fn wait(duration: Duration) {
    tokio::time::sleep(duration.to_std()).await;
}

async fn attempt(link: &Arc<Link>, request: Request<Full<Bytes>>) -> Sent {
    match link.sender().try_send_request(request).await {
        Ok(response) => {
            link.heard();
            read(response, link).await
        }
        Err(error) if error.message().is_some() => Sent::Closing,
        Err(error) => without_answer(error.error()),
    }
}

async fn read(response: http::Response<Incoming>, link: &Arc<Link>) -> Sent {
    let (head, body) = response.into_parts();
    match Limited::new(body, REPLY_BYTES_MAX).collect().await {
        Ok(whole) => Sent::Answered(Reply {
            status: head.status,
            headers: head.headers,
            body: whole.to_bytes(),
            link: Arc::downgrade(link),
        }),
        // The status alone could be misread (a 404 without its reason): as good as no answer.
        Err(_) => Sent::Lost,
    }
}

/// Whether the peer says that it has not looked at the request: `REFUSED_STREAM`, or `GOAWAY` with a lower last stream (RFC 9113 §6.8,
/// §8.7). Otherwise it may have.
fn without_answer(error: &hyper::Error) -> Sent {
    // A connection that ends while a request waits for a stream of it drops the request, which hyper calls our own doing.
    if error.is_user() {
        return Sent::Closing;
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        match cause.downcast_ref::<h2::Error>() {
            Some(h2) if h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM) => {
                return Sent::Refused;
            }
            Some(h2) if h2.is_go_away() && h2.is_remote() => return Sent::Closing,
            Some(_) => break,
            None => source = cause.source(),
        }
    }
    tracing::debug!(%error, "a request got no answer");
    Sent::Lost
}

/// What it means for a push that there is no answer (contract: providers.md rule 0.7).
pub fn unanswered(no_reply: NoReply) -> Verdict {
    let (delay, reason) = match no_reply {
        NoReply::Unreachable => (Delay::Unreachable, Reason::UNREACHABLE),
        NoReply::Timeout => (Delay::Unanswered, Reason::TIMEOUT),
        NoReply::Lost => (Delay::Unanswered, Reason::CONNECTION_LOST),
    };
    Verdict::of(Outcome::RetryMessage(delay), reason)
}
