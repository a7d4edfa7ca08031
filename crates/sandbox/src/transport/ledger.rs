//! Which streams a connection has open, how many it was allowed, and whether it knew.

use std::collections::{BTreeMap, VecDeque};

use reveille_model::{Duration, Timestamp};

/// Streams a client may open before it has acknowledged any limit.
const UNTOLD_MAX: u32 = 1_000;
/// Limits that may wait for their acknowledgement.
const ANNOUNCED_MAX: usize = 64;
/// After a client has acknowledged a lower limit, streams it had begun to send still count as obedient for this long.
const LOWERED_GRACE: Duration = Duration::from_ms(500);

/// A stream too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The client could not know yet.
    Unknowing,
    /// It knew.
    Violation,
}

/// SETTINGS on the wire that wait for their acknowledgement, which come in order.
#[derive(Debug, Clone, Copy)]
enum Announced {
    /// The library's own.
    Library,
    /// A limit.
    Limit(u32),
}

/// Who has said all there is to say on a stream.
#[derive(Debug, Clone, Copy, Default)]
struct Ended {
    client: bool,
    server: bool,
}

/// The account of one connection.
#[derive(Debug)]
pub(super) struct Ledger {
    open: BTreeMap<u32, Ended>,
    highest: u32,
    over: BTreeMap<u32, Over>,
    announced: VecDeque<Announced>,
    /// What was announced last.
    limit: u32,
    acknowledged: Option<u32>,
    /// When the client heard of a lower limit, and what was allowed before.
    lowered: Option<(Timestamp, u32)>,
    now: fn() -> Timestamp,
}

impl Ledger {
    /// Starts with a limit that is announced first of all.
    pub(super) fn new(limit: u32, now: fn() -> Timestamp) -> Self {
        Self {
            open: BTreeMap::new(),
            highest: 0,
            over: BTreeMap::new(),
            announced: VecDeque::new(),
            limit,
            acknowledged: None,
            lowered: None,
            now,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// A limit is on its way.
    pub(super) fn announced(&mut self, limit: u32) {
        self.limit = limit;
        self.announced.push_back(Announced::Limit(limit));
    }

    pub(super) fn library_announced(&mut self) {
        self.announced.push_back(Announced::Library);
    }

    /// Whether another limit may be announced before older ones are acknowledged.
    pub(super) fn may_announce(&self) -> bool {
        self.announced.len() < ANNOUNCED_MAX
    }

    /// The client acknowledged the oldest SETTINGS. Whether they were ours, and the library must not hear of it.
    pub(super) fn acknowledged_ours(&mut self) -> bool {
        let Some(Announced::Limit(limit)) = self.announced.pop_front() else { return false };
        let before = self.acknowledged.replace(limit).filter(|before| limit < *before);
        if let Some(before) = before {
            self.lowered = Some(((self.now)(), before));
        }
        true
    }

    /// HEADERS of the client: a new stream, or the trailers of an old one.
    pub(super) fn opened(&mut self, stream: u32) {
        if stream > self.highest {
            self.highest = stream;
            self.open.insert(stream, Ended::default());
            self.judge(stream);
        }
    }

    fn judge(&mut self, stream: u32) {
        let count = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        let told = self.announced.iter().map(|each| match each {
            Announced::Library => 0,
            Announced::Limit(limit) => *limit,
        });
        // What is on its way may have arrived.
        let allowed = told.fold(self.acknowledged.unwrap_or(UNTOLD_MAX), u32::max);
        let graced = self.lowered.filter(|(at, _)| (self.now)().since(*at) < LOWERED_GRACE);
        if count > graced.map_or(allowed, |(_, before)| allowed.max(before)) {
            self.over.insert(stream, Over::Violation);
        } else if count > self.limit {
            self.over.insert(stream, Over::Unknowing);
        }
    }

    pub(super) fn client_ended(&mut self, stream: u32) {
        self.end(stream, |ended| ended.client = true);
    }

    pub(super) fn server_ended(&mut self, stream: u32) {
        self.end(stream, |ended| ended.server = true);
    }

    fn end(&mut self, stream: u32, note: impl FnOnce(&mut Ended)) {
        if let Some(ended) = self.open.get_mut(&stream) {
            note(ended);
            if ended.client && ended.server {
                self.closed(stream);
            }
        }
    }

    pub(super) fn closed(&mut self, stream: u32) {
        self.open.remove(&stream);
        self.over.remove(&stream);
    }

    pub(super) fn take_over(&mut self, stream: u32) -> Option<Over> {
        self.over.remove(&stream)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, Over};
    use reveille_model::Timestamp;

    fn long_ago() -> Timestamp {
        Timestamp::EPOCH
    }

    /// A client that was told a limit and has acknowledged it.
    fn told(limit: u32) -> Ledger {
        let mut ledger = Ledger::new(limit, long_ago);
        ledger.announced(limit);
        ledger.library_announced();
        assert!(ledger.acknowledged_ours());
        assert!(!ledger.acknowledged_ours());
        ledger
    }

    /// A request without a body.
    fn whole(ledger: &mut Ledger, stream: u32) {
        ledger.opened(stream);
        ledger.client_ended(stream);
    }

    #[test]
    fn a_stream_too_many_is_a_violation_once_the_limit_is_acknowledged() {
        let mut ledger = told(1);
        whole(&mut ledger, 1);
        assert_eq!(ledger.take_over(1), None);
        whole(&mut ledger, 3);
        assert_eq!(ledger.take_over(3), Some(Over::Violation));
        assert_eq!(ledger.take_over(3), None);
    }

    #[test]
    fn a_stream_counts_until_both_sides_have_ended_it_or_one_has_reset_it() {
        let mut ledger = told(1);
        ledger.opened(1);
        ledger.server_ended(1);
        whole(&mut ledger, 3);
        assert_eq!(ledger.take_over(3), Some(Over::Violation), "1 is half open");
        ledger.closed(3);
        ledger.client_ended(1);
        whole(&mut ledger, 5);
        assert_eq!(ledger.take_over(5), None);
        ledger.closed(5);
        whole(&mut ledger, 7);
        assert_eq!(ledger.take_over(7), None);
        // Trailers of a closed stream open nothing.
        whole(&mut ledger, 5);
        ledger.server_ended(7);
        whole(&mut ledger, 9);
        assert_eq!(ledger.take_over(9), None);
    }

    #[test]
    fn a_client_that_could_not_know_is_no_violator() {
        let mut ledger = Ledger::new(1, long_ago);
        ledger.announced(1);
        whole(&mut ledger, 1);
        whole(&mut ledger, 3);
        assert_eq!(ledger.take_over(3), Some(Over::Unknowing));
        // A higher limit holds from the moment it may have arrived.
        let mut ledger = told(1);
        ledger.announced(2);
        whole(&mut ledger, 1);
        whole(&mut ledger, 3);
        assert_eq!(ledger.take_over(3), None);
        // A lower one not before it is acknowledged, and for what was under way a little later.
        ledger.acknowledged_ours();
        ledger.announced(1);
        ledger.closed(1);
        whole(&mut ledger, 5);
        assert_eq!(ledger.take_over(5), Some(Over::Unknowing));
        assert!(ledger.acknowledged_ours());
        ledger.closed(5);
        whole(&mut ledger, 7);
        assert_eq!(ledger.take_over(7), Some(Over::Unknowing));
        ledger.now = || Timestamp::from_ms(501);
        ledger.closed(7);
        whole(&mut ledger, 9);
        assert_eq!(ledger.take_over(9), Some(Over::Violation));
    }
}
