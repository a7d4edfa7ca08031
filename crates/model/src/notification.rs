//! What `POST /v1/notifications` accepts.

use std::collections::BTreeMap;
use std::fmt;

use crate::{
    CohortId, DryRun, Duration, EventType, MessageType, NotificationId, SubscriptionId, Timestamp,
    User,
};

/// Who is to be woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// All devices of these users.
    Users(Vec<User>),
    /// These devices.
    Subscriptions(Vec<SubscriptionId>),
}

impl Audience {
    /// How many users or subscriptions are named.
    pub fn len(&self) -> usize {
        match self {
            Self::Users(users) => users.len(),
            Self::Subscriptions(ids) => ids.len(),
        }
    }

    /// Whether nobody is named.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One notification, valid and not yet stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its random id.
    pub id: NotificationId,
    /// What happened.
    pub event_type: EventType,
    /// What the app is told.
    pub message_type: MessageType,
    /// Who is woken.
    pub audience: Audience,
    /// How long the wake-up is worth sending, counted from the end of its window.
    pub ttl: Duration,
    /// Whether the provider only checks the message.
    pub dry_run: DryRun,
    /// It joins the window in which this falls.
    pub deliver_after: Option<Timestamp>,
    /// What is asked before it wakes somebody.
    pub policy: Policy,
    /// What its users find in their inboxes.
    pub content: Option<Content>,
    /// Over which windows its wake-ups are spread.
    pub spread: Spread,
}

/// The windows over which wake-ups are spread, so that others are not held up by very many of them: by their ends, at most
/// [`crate::limits::SPREAD_WINDOWS_MAX`]. None: all of them leave with the window they join.
///
/// Which of them it is depends on who is woken: a cohort or device that is named in several requests leaves with the same window.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spread(pub Vec<Timestamp>);

impl Spread {
    /// The end of the window with which a cohort leaves, where `window_end` is that of the window it would join.
    pub fn of_cohort(&self, id: CohortId, window_end: Timestamp) -> Timestamp {
        self.window_end(id.0.cast_unsigned(), window_end)
    }

    /// Devices by the end of the window with which they leave, where `window_end` is that of the window they would join.
    pub fn of_devices(
        &self,
        ids: impl IntoIterator<Item = SubscriptionId>,
        window_end: Timestamp,
    ) -> BTreeMap<Timestamp, Vec<SubscriptionId>> {
        let mut dealt: BTreeMap<Timestamp, Vec<SubscriptionId>> = BTreeMap::new();
        for id in ids {
            let number = id.as_bytes().first_chunk().copied().unwrap_or_default();
            let end = self.window_end(u64::from_be_bytes(number), window_end);
            dealt.entry(end).or_default().push(id);
        }
        dealt
    }

    fn window_end(&self, number: u64, window_end: Timestamp) -> Timestamp {
        let places = self.0.len() as u64;
        let place = mixed(number).checked_rem(places).and_then(|place| usize::try_from(place).ok());
        // A window may have been closed while the request was on its way.
        place.and_then(|place| self.0.get(place)).map_or(window_end, |end| window_end.max(*end))
    }

    /// The end of the last window, where `window_end` is that of the window it would join.
    pub fn last(&self, window_end: Timestamp) -> Timestamp {
        self.0.iter().copied().fold(window_end, Timestamp::max)
    }
}

/// Numbers that follow one another come to lie anywhere (the finalizer of `SplitMix64`).
const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// What a caller has to say to a user, as JSON. A secret: printing it shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(Box<str>);

impl Content {
    /// From the text of a JSON value.
    pub fn from_json(json: impl Into<Box<str>>) -> Self {
        Self(json.into())
    }

    /// The text of the value. Not for logs, metrics or errors.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(…)")
    }
}

/// What the configuration says about an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether it wakes users who have not said whether it shall.
    pub wakes: bool,
    /// How many of it one user gets.
    pub limit: Option<Limit>,
}

impl Policy {
    /// Everybody, as often as it happens.
    pub const OPEN: Self = Self { wakes: true, limit: None };
}

/// How many notifications of one event type one user gets in a period. Periods are fixed: the n-th begins n times its length after the Unix
/// epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// So many, at least one.
    pub count: u32,
    /// In so long, at least a millisecond.
    pub per: Duration,
}

impl Limit {
    /// When the period ends that a moment is in.
    pub const fn period_end(&self, moment: Timestamp) -> Timestamp {
        let per_ms = self.per.as_ms().cast_signed();
        let per_ms = if per_ms < 1 { 1 } else { per_ms };
        Timestamp::from_ms((moment.as_ms().div_euclid(per_ms) + 1).saturating_mul(per_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;
    use crate::Timestamp;

    #[test]
    fn numbers_are_spread_evenly_and_stay_where_they_are() {
        let ends: Vec<Timestamp> = (1..=10).map(Timestamp::from_ms).collect();
        let spread = Spread(ends.clone());
        let mut counts = [0_u32; 10];
        for number in 0..10_000 {
            let end = spread.window_end(number, Timestamp::EPOCH);
            assert_eq!(end, spread.window_end(number, Timestamp::EPOCH));
            counts[usize::try_from(end.as_ms() - 1).unwrap()] += 1;
        }
        // 1,000 each, standard deviation 30; five of them.
        assert!(counts.iter().all(|count| count.abs_diff(1_000) < 150), "{counts:?}");
        assert_eq!(spread.last(Timestamp::from_ms(3)), Timestamp::from_ms(10));
    }

    #[test]
    fn nothing_is_spread_over_windows_that_are_closed() {
        let closed = Spread(vec![Timestamp::from_ms(1), Timestamp::from_ms(2)]);
        let open = Timestamp::from_ms(7);
        assert!((0..50).all(|number| closed.window_end(number, open) == open));
        assert_eq!(Spread::default().window_end(5, open), open);
        assert_eq!(Spread::default().last(open), open);
    }
}
