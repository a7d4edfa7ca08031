//! One connection: how much it carries, and whether it still takes requests.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;

/// Unanswered requests in a row after which a connection is replaced.
const SILENT_MAX: u32 = 3;

/// One connection of a pool.
#[derive(Debug)]
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// Requests that may be under way: what the peer allows, cut to our own cap, and one until the peer has answered once where the
    /// pool asks for that.
    limit: AtomicUsize,
    in_flight: AtomicUsize,
    answered: AtomicBool,
    silent: AtomicU32,
    draining: AtomicBool,
}

impl Link {
    pub(super) fn new(sender: SendRequest<Full<Bytes>>, first_streams: usize) -> Self {
        Self {
            sender,
            limit: AtomicUsize::new(first_streams.max(1)),
            in_flight: AtomicUsize::new(0),
            answered: AtomicBool::new(false),
            silent: AtomicU32::new(0),
            draining: AtomicBool::new(false),
        }
    }

    pub(super) fn sender(&self) -> SendRequest<Full<Bytes>> {
        self.sender.clone()
    }

    /// How many more requests it takes now.
    pub(super) fn free(&self) -> usize {
        if self.is_draining() {
            return 0;
        }
        let limit = self.limit.load(Ordering::Acquire);
        limit.saturating_sub(self.in_flight.load(Ordering::Acquire))
    }

    /// Whether its first answer is still to come.
    pub(super) fn is_warming(&self) -> bool {
        !self.answered.load(Ordering::Acquire)
    }

    /// How many requests it takes in all.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Acquire)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire) || self.sender.is_closed()
    }

    /// No new requests; those under way may finish.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// The peer allows so many streams. Returns whether room was gained.
    pub(super) fn allow(&self, streams: usize) -> bool {
        // Until the first answer the first flight's bound stays.
        let before = self.limit.load(Ordering::Acquire);
        let after =
            if self.answered.load(Ordering::Acquire) { streams } else { before.min(streams) };
        self.limit.swap(after, Ordering::AcqRel) < after
    }

    /// Takes a place, if there is one.
    pub(super) fn take_place(&self) -> bool {
        let taken = self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, |in_flight| {
            (in_flight < self.limit.load(Ordering::Acquire)).then_some(in_flight + 1)
        });
        taken.is_ok()
    }

    /// Gives the place back.
    pub(super) fn leave_place(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// An answer came.
    pub(super) fn heard(&self) {
        self.silent.store(0, Ordering::Release);
        self.answered.store(true, Ordering::Release);
    }

    /// No answer came in time. A connection that stays silent is replaced: it may be a peer that forgot us. One that never said anything is at
    /// once: others wait to see what it takes.
    pub(super) fn unheard(&self) {
        if self.silent.fetch_add(1, Ordering::AcqRel) + 1 >= SILENT_MAX || self.is_warming() {
            self.drain();
        }
    }
}
