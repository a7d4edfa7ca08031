//! What the in-memory store holds, and the steps its transactions share.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use reveille_model::{
    Audience, CohortId, Content, CredentialSet, DryRun, Duration, EventType, LeaseId, Ledger,
    MessageType, Mixed, NewSubscription, Nonce, NotificationId, Policy, Providers, Settled, Spread,
    Subscription, SubscriptionId, Timestamp, Token, Topic, User,
};

use super::members::CohortState;
use crate::{Death, Destination, InboxItem, Keys, Seen, StoreError, TokenKey, Wakes, WakeupKey};

/// A store in memory. Clones of its `Arc` share it; nothing survives the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// Returns every claimed wake-up, as opening a durable store after a crash does.
    pub fn give_back_all(&self, now: Timestamp) {
        let mut state = self.lock();
        let leased: Vec<i64> = state
            .wakeups
            .iter()
            .filter(|(_, row)| row.lease.is_some())
            .map(|(id, _)| *id)
            .collect();
        for id in leased {
            state.was_no_try(id, now);
            state.return_to_waiting(id, now);
        }
        state.of_cohorts.mustered_until = state.expanded_until;
    }

    pub(super) fn lock(&self) -> Transaction<'_> {
        // A poisoned lock means a panic inside a transaction, which tests report themselves.
        Transaction(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The state while one transaction has it. At its end cohorts follow subscriptions.
pub(super) struct Transaction<'a>(MutexGuard<'a, State>);

impl std::ops::Deref for Transaction<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl std::ops::DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.0
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if std::mem::take(&mut self.0.of_cohorts.is_stale) {
            self.0.enrol();
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) closed_until: Option<Timestamp>,
    /// Up to here everything closed was wholly expanded.
    pub(super) expanded_until: Option<Timestamp>,
    pub(super) next_id: i64,
    pub(super) gathered: VecDeque<Gathered>,
    pub(super) scheduled: BTreeMap<NotificationId, Scheduled>,
    pub(super) wakeups: BTreeMap<i64, Row>,
    pub(super) trails: BTreeMap<NotificationId, TrailRow>,
    pub(super) idempotency: BTreeMap<[u8; 32], Remembered>,
    pub(super) subscriptions: BTreeMap<SubscriptionId, Subscription>,
    pub(super) by_token: BTreeMap<TokenKey, SubscriptionId>,
    pub(super) suspects: BTreeMap<TokenKey, Suspect>,
    pub(super) deaths: BTreeMap<i64, Untold>,
    pub(super) pauses: BTreeMap<CredentialSet, Timestamp>,
    pub(super) halted: Providers,
    pub(super) keys: BTreeMap<String, [u8; 32]>,
    pub(super) preferences: BTreeMap<User, Wakes>,
    /// Of each user and event type, when the period ends and how many there were in it.
    pub(super) counters: BTreeMap<(User, EventType), (Timestamp, u32)>,
    pub(super) inbox: BTreeMap<User, Vec<InboxItem>>,
    /// Up to when users have seen what is in it.
    pub(super) seen: BTreeMap<User, Seen>,
    /// How many rows were ever gathered, and for each device whose user has looked, how many there were then.
    pub(super) gathered_next: u64,
    pub(super) fetched: BTreeMap<SubscriptionId, u64>,
    pub(super) unproven: BTreeMap<SubscriptionId, Unproven>,
    pub(super) of_cohorts: CohortState,
    pub(super) ledger: Ledger,
}

/// A device that has not shown yet that it has its token.
#[derive(Debug, Clone)]
pub(super) struct Unproven {
    pub(super) new: NewSubscription,
    pub(super) nonce: Nonce,
    pub(super) wrong: u32,
    pub(super) asked_at: Timestamp,
}

#[derive(Debug, Clone)]
pub(super) struct Gathered {
    /// How many were gathered before it.
    pub(super) number: u64,
    pub(super) window_end: Timestamp,
    pub(super) notification: Option<NotificationId>,
    pub(super) shape: Shape,
    pub(super) targets: Targets,
}

/// What all wake-ups of one gathered row have in common.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) message_type: MessageType,
    pub(super) ttl: Duration,
    pub(super) dry_run: DryRun,
}

#[derive(Debug, Clone)]
pub(super) enum Targets {
    Tokens { set: CredentialSet, topic: Option<Topic>, tokens: Vec<Token> },
    Subscriptions(Vec<SubscriptionId>),
}

#[derive(Debug, Clone)]
pub(super) struct Scheduled {
    pub(super) due: Timestamp,
    pub(super) shape: Shape,
    pub(super) meant: Meant,
    pub(super) event_type: EventType,
    pub(super) policy: Policy,
    pub(super) content: Option<Content>,
    pub(super) spread: Spread,
}

/// Who is woken by what is scheduled.
#[derive(Debug, Clone)]
pub(super) enum Meant {
    Named(Audience),
    /// Who is meant was found out at once, so that nobody's name waits here.
    Found {
        cohorts: BTreeSet<CohortId>,
        devices: Vec<SubscriptionId>,
        /// The last window that was closed then.
        since: Option<Timestamp>,
    },
}

impl Meant {
    /// How much of the outbox it takes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Named(audience) => audience.len() as u64,
            Self::Found { cohorts, devices, .. } => (cohorts.len() + devices.len()) as u64,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Remembered {
    pub(super) body: [u8; 32],
    pub(super) ids: Vec<NotificationId>,
    pub(super) at: Timestamp,
}

/// A device with verdicts against it.
#[derive(Debug, Clone)]
pub(super) struct Suspect {
    pub(super) set: CredentialSet,
    pub(super) topic: Option<Topic>,
    pub(super) token: Token,
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) reason: String,
    pub(super) since: Timestamp,
    pub(super) verdicts: u32,
    /// Nothing while it is only watched.
    pub(super) next_try: Option<Timestamp>,
}

/// A death and whom it is to be told, when.
#[derive(Debug, Clone)]
pub(super) struct Untold {
    pub(super) to: Destination,
    pub(super) due_at: Timestamp,
    pub(super) death: Death,
}

#[derive(Debug, Clone)]
pub(super) struct TrailRow {
    pub(super) window_end: Option<Timestamp>,
    pub(super) deliver_after: Option<Timestamp>,
    pub(super) taken_back: bool,
    /// How many cohorts it marked.
    pub(super) cohorts: u64,
    /// When it may be forgotten counts from here.
    pub(super) last_window: Timestamp,
    pub(super) ledger: Ledger,
}

#[derive(Debug, Clone)]
pub(super) enum Target {
    Token { token: Token, topic: Option<Topic> },
    Subscription(SubscriptionId),
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) key: WakeupKey,
    pub(super) set: CredentialSet,
    pub(super) target: Target,
    pub(super) message_type: MessageType,
    pub(super) dry_run: DryRun,
    pub(super) nonce: Option<Nonce>,
    pub(super) notification: Option<NotificationId>,
    pub(super) window_end: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) due_at: Timestamp,
    pub(super) sort_key: i64,
    pub(super) attempts: u32,
    pub(super) lease: Option<LeaseId>,
    /// The quarantined device it waits with.
    pub(super) held: Option<TokenKey>,
}

impl State {
    /// Lets targets join a window.
    pub(super) fn gather(
        &mut self,
        window_end: Timestamp,
        notification: Option<NotificationId>,
        shape: Shape,
        targets: Targets,
    ) {
        let number = self.gathered_next;
        self.gathered_next += 1;
        self.gathered.push_back(Gathered { number, window_end, notification, shape, targets });
    }

    /// Applies a change of counts to the ledger and to the notification's trail.
    pub(super) fn count(
        &mut self,
        notification: Option<NotificationId>,
        change: impl Fn(&mut Ledger),
    ) {
        change(&mut self.ledger);
        if let Some(trail) = notification.and_then(|id| self.trails.get_mut(&id)) {
            change(&mut trail.ledger);
        }
    }

    /// Removes a wake-up because it was not worth sending any more.
    pub(super) fn expire(&mut self, id: i64) {
        let is_untried = self.wakeups.get(&id).is_some_and(|row| {
            let device = match row.target {
                Target::Subscription(id) => self.subscriptions.get(&id),
                Target::Token { .. } => None,
            };
            let is_company = row.attempts == 0 && row.notification.is_none();
            is_company && device.is_some_and(|each| self.mixed(each) == Mixed::Cohort)
        });
        if self.are_cohorts_on() && is_untried {
            self.of_cohorts.untried += 1;
        }
        self.end(id, Settled::Expired);
    }

    /// Removes a wake-up because it ended.
    pub(super) fn end(&mut self, id: i64, how: Settled) {
        if let Some(row) = self.wakeups.remove(&id) {
            self.count(row.notification, |ledger| {
                ledger.waiting -= 1;
                ledger.settle(how, 1);
            });
        }
    }

    /// Whether a wake-up of this key waits, that is, is not in flight.
    pub(super) fn waiting_with(&self, key: WakeupKey) -> Option<i64> {
        self.wakeups
            .iter()
            .find(|(_, row)| row.key == key && row.lease.is_none())
            .map(|(id, _)| *id)
    }

    /// Ends a claim: the wake-up waits again, or joins a newer one that waits, which inherits its due time
    /// and the longer life. Returns whether it joined.
    pub(super) fn return_to_waiting(&mut self, id: i64, due_at: Timestamp) -> bool {
        let Some(row) = self.wakeups.get(&id) else { return false };
        let (key, notification, expires_at) = (row.key, row.notification, row.expires_at);
        let held = row.held;
        if let Some(newer) = self.waiting_with(key) {
            if let Some(newer) = self.wakeups.get_mut(&newer) {
                newer.due_at = newer.due_at.max(due_at);
                newer.expires_at = newer.expires_at.max(expires_at);
                newer.held = newer.held.or(held);
            }
            self.wakeups.remove(&id);
            self.count(notification, |ledger| {
                ledger.waiting -= 1;
                ledger.collapsed += 1;
            });
            return true;
        }
        if let Some(row) = self.wakeups.get_mut(&id) {
            row.lease = None;
            row.due_at = due_at;
        }
        false
    }
}

#[async_trait]
impl Keys for MemoryStore {
    async fn key(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        Ok(*self.lock().keys.entry(name.to_owned()).or_insert(fresh))
    }
}
