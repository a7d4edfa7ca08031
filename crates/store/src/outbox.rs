//! The durable queue: everything accepted and not settled.

use async_trait::async_trait;
use reveille_model::{
    CredentialSet, DryRun, Duration, LeaseId, Ledger, MessageType, Nonce, Notification,
    NotificationId, Proof, Providers, Reason, Settled, Shuffle, Strike, SubscriptionId, Timestamp,
    Token, Topic, WakeupId,
};
use sha2::{Digest as _, Sha256};

use crate::subscriptions::first_16;
use crate::{Destination, StoreError, TokenKey};

/// What an operator says of delivery. Of providers that are not named nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// Nothing is sent to these.
    Pause(Providers),
    /// It goes on at these.
    Resume(Providers),
}

impl Halt {
    /// Where delivery is halted after it, if it was halted at `halted`.
    #[must_use]
    pub const fn after(self, halted: Providers) -> Providers {
        match self {
            Self::Pause(named) => halted.or(named),
            Self::Resume(named) => halted.but(named),
        }
    }
}

/// Keeps accepted wake-ups until they are settled. Every method is one transaction: all of it happened, or nothing.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Takes responsibility. Returns only once it is on disk.
    async fn accept(&self, acceptance: Acceptance) -> Result<Accepted, AcceptError>;

    /// Closes every window that ends at or before `until`: nothing can join them any more.
    async fn close(&self, until: Timestamp) -> Result<(), StoreError>;

    /// Turns a bounded part of what closed windows gathered into wake-ups, which take their sort keys from `shuffle`, and before that brings in
    /// scheduled notifications that fell due. To be called until [`Next::Nothing`], each time with a fresh shuffle: a store that goes on with
    /// what an earlier call began goes on with the earlier one's. Where it says [`Next::Muster`], nothing is woken until that is done.
    async fn expand(&self, until: Timestamp, shuffle: Shuffle) -> Result<Expanded, StoreError>;

    /// Takes wake-ups that are due, first those due first, inside one due time by sort key. Settles those that expired or whose
    /// subscription is gone instead of returning them.
    ///
    /// While closed windows are not wholly expanded, nothing leaves that fell due after the last time they were: a batch is shuffled whole
    /// or not at all.
    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, StoreError>;

    /// Ends or returns claimed wake-ups. One whose lease is no longer held is left alone.
    async fn settle(&self, batch: SettleBatch) -> Result<SettleReport, StoreError>;

    /// When the next wake-up of a credential set is due, or a lease of one ends.
    async fn next_due(&self, set: &CredentialSet) -> Result<Option<Timestamp>, StoreError>;

    /// Remembers that a credential set is paused.
    async fn pause(&self, set: &CredentialSet, until: Timestamp) -> Result<(), StoreError>;

    /// Remembers where an operator halts delivery, or lets it go on; returns where it is halted from now on. What is accepted waits there.
    async fn halt(&self, change: Halt) -> Result<Providers, StoreError>;

    /// At which providers delivery is halted.
    async fn halted(&self) -> Result<Providers, StoreError>;

    /// Lets another credential set have what waits in `from` for a topic; returns how many wake-ups there were. For a topic that was not
    /// configured when they were accepted, and is now.
    async fn adopt(
        &self,
        from: &CredentialSet,
        topic: &Topic,
        to: &CredentialSet,
    ) -> Result<u64, StoreError>;

    /// Until when a credential set was last paused.
    async fn paused_until(&self, set: &CredentialSet) -> Result<Option<Timestamp>, StoreError>;

    /// Settles a bounded number of expired wake-ups that nobody claims, and forgets old trails and idempotency keys.
    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError>;

    /// How much there is and how old it is.
    async fn depth(&self) -> Result<Depth, StoreError>;

    /// Writes something and waits until it is on disk: whether the store is really usable.
    async fn check(&self, now: Timestamp) -> Result<(), StoreError>;
}

/// One request of intake.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// When it came.
    pub now: Timestamp,
    /// The end of the window it joins.
    pub window_end: Timestamp,
    /// With more than this waiting, wake-ups and those named by scheduled notifications together, nothing is accepted.
    pub waiting_max: u64,
    /// Makes a repeat of the request harmless.
    pub idempotency: Option<Idempotency>,
    /// What is asked for. All of it is accepted, or nothing.
    pub items: Vec<Item>,
}

/// A request's idempotency key and body, as keyed hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    /// Of caller and key.
    pub key: [u8; 32],
    /// Of the body.
    pub body: [u8; 32],
}

/// One thing asked for.
#[derive(Debug, Clone)]
pub enum Item {
    /// Tokens named by the caller (`/v1/message`).
    Tokens(TokenMessage),
    /// A notification (`/v1/notifications`).
    Notification(Notification),
}

/// A message for tokens the caller names.
#[derive(Debug, Clone)]
pub struct TokenMessage {
    /// The credentials that reach them.
    pub set: CredentialSet,
    /// The topic (APNs only).
    pub topic: Option<Topic>,
    /// What the app is told.
    pub message_type: MessageType,
    /// Counted from the end of the window.
    pub ttl: Duration,
    /// Whether the provider only checks.
    pub dry_run: DryRun,
    /// Whom to wake; at most [`reveille_model::limits::TOKENS_PER_REQUEST_MAX`].
    pub tokens: Vec<Token>,
    /// How many more were named that can never be sent to. They are accepted and settle at once as payload errors.
    pub unusable: u32,
}

/// What accepting did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk.
    New {
        /// The ids of the notifications among the items, in order.
        ids: Vec<NotificationId>,
        /// How many wake-ups joined the window.
        wakeups: u64,
        /// How many users are not woken because they do not want to be.
        muted: u64,
    },
    /// The same request was accepted before, under these ids.
    Repeated {
        /// The ids given then.
        ids: Vec<NotificationId>,
    },
}

/// Why a request was not accepted. Nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcceptError {
    /// The window ended while the request was on its way. Take one that ends later than this.
    #[error("the window is closed")]
    WindowClosed {
        /// The end of the last closed window.
        closed_until: Timestamp,
        /// The request, handed back.
        acceptance: Box<Acceptance>,
    },
    /// `waiting_max` wake-ups are waiting.
    #[error("the outbox is full")]
    Full,
    /// The idempotency key was used for another body.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What one expanding transaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expanded {
    /// Wake-ups made.
    pub wakeups: u64,
    /// Targets that joined a waiting wake-up.
    pub collapsed: u64,
    /// Whether everything closed may leave from now on. Said once.
    pub released: bool,
    /// What is to be done next.
    pub next: Next,
}

impl Expanded {
    /// Whether nothing is left to do.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.next, Next::Nothing)
    }
}

/// What is to be done after an expanding transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Next {
    /// Another one.
    #[default]
    Expand,
    /// The caller is to decide first which cohorts leave ([`crate::Cohorts::lead`]), and to say when that is done ([`crate::Cohorts::mustered`]): everything
    /// that marks them for this batch has. Said until it is done. Where several nodes work on a store it is said to one of them, and to another one only once
    /// that seems to be gone.
    Muster,
    /// Nothing is left to do.
    Nothing,
}

/// What a worker asks for.
#[derive(Debug, Clone)]
pub struct Claim {
    /// For these credentials.
    pub set: CredentialSet,
    /// The present.
    pub now: Timestamp,
    /// The new lease.
    pub lease: LeaseId,
    /// When the lease ends by itself.
    pub lease_until: Timestamp,
    /// At most so many; at most [`reveille_model::limits::CLAIM_MAX`].
    pub limit: usize,
    /// A quarantined device is tried once in so long; other wake-ups for it wait.
    pub hold: Duration,
}

/// A wake-up a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its id in the store.
    pub id: WakeupId,
    /// The lease it is held under.
    pub lease: LeaseId,
    /// The device's token, as registered now.
    pub token: Token,
    /// The topic (APNs only).
    pub topic: Option<Topic>,
    /// What the app is told.
    pub message_type: MessageType,
    /// Whether the provider only checks.
    pub dry_run: DryRun,
    /// What it asks its device to show, if it asks for proof.
    pub nonce: Option<Nonce>,
    /// How many attempts were answered before.
    pub attempts: u32,
    /// The end of the window it left with.
    pub window_end: Timestamp,
    /// When it stops being worth sending.
    pub expires_at: Timestamp,
    /// The random number it was sorted by; the same for every attempt.
    pub sort_key: i64,
    /// The registered device, if it is one.
    pub device: Option<Device>,
}

/// A registered device as it was when its wake-up was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Its subscription.
    pub subscription: SubscriptionId,
    /// The generation of the registration. A verdict counts for this one only.
    pub generation: u32,
}

/// What became of claimed wake-ups.
#[derive(Debug, Clone)]
pub struct SettleBatch {
    /// Of each; at most [`reveille_model::limits::SETTLE_MAX`].
    pub settlements: Vec<Settlement>,
    /// The present.
    pub now: Timestamp,
    /// How long a quarantined device is left alone before it is tried again.
    pub hold: Duration,
    /// Who is told of deaths.
    pub tell: Vec<Destination>,
}

/// What became of a claimed wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// The wake-up.
    pub id: WakeupId,
    /// The lease it was held under.
    pub lease: LeaseId,
    /// The registered device, as claimed.
    pub device: Option<Device>,
    /// What became of it.
    pub end: End,
    /// What the answer says against the device, and its reason. When it has come often and long enough the wake-up is suspected instead.
    pub strike: Option<(Strike, Suspicion)>,
}

/// What became of a wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ended. `Sent` also clears every suspicion against its device, and takes back its deaths that are not told yet.
    Settled(Settled),
    /// It ended because its token is dead: the subscription goes, unless on dated proof it was registered after that date. If it is of another
    /// generation than the push was sent to, the verdict is about another registration, and the wake-up is due again at once. On guarded proof nothing more happens than that the wake-up ends; use [`End::Suspected`].
    Dead(Proof, Reason),
    /// Its token looks dead. See [`Suspicion`].
    Suspected(Suspicion),
    /// It was answered and is due again then.
    Retry(Timestamp),
    /// It was not sent. It is due again then.
    Postpone(Timestamp),
}

/// A verdict of death that a mistake of ours would bring about too. The first one puts the device into quarantine, and its wake-up waits
/// with it; one that comes at least the batch's `hold` after the first, in a scope that can be trusted, is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspicion {
    /// Why.
    pub reason: Reason,
    /// Whether the scope is known to work (the mixer's drop guard says so).
    pub is_trusted: bool,
}

/// What settling did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SettleReport {
    /// Wake-ups whose lease was lost: left alone.
    pub lost: u64,
    /// Subscriptions deleted on proof.
    pub dropped: u64,
    /// Subscriptions called dead that were registered anew in the meantime, and stay.
    pub renewed: u64,
    /// Devices that came into quarantine.
    pub suspected: u64,
    /// Deaths that will be told.
    pub to_tell: u64,
    /// Deaths that will not: [`reveille_model::limits::FEEDBACK_MAX`] wait already.
    pub not_told: u64,
    /// Retries that joined a newer waiting wake-up.
    pub collapsed: u64,
}

/// What may be forgotten.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    /// The present.
    pub now: Timestamp,
    /// Trails whose window ended before this may go.
    pub trails_before: Timestamp,
    /// Idempotency keys first used before this may go.
    pub idempotency_before: Timestamp,
    /// Suspects nobody registered, and devices that are only watched, may go if the last verdict came before this.
    pub suspects_before: Timestamp,
    /// Counters of limits may go whose period ended before this, or then.
    pub counters_before: Timestamp,
    /// Inbox items that came before this may go, and what was seen before it.
    pub inbox_before: Timestamp,
    /// At most so many of each.
    pub limit: usize,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Wake-ups settled as expired.
    pub expired: u64,
    /// Trails forgotten.
    pub trails: u64,
    /// Idempotency keys forgotten.
    pub idempotency_keys: u64,
    /// Suspects forgotten.
    pub suspects: u64,
    /// Inbox items forgotten.
    pub inbox_items: u64,
    /// Counters of limits whose period was over.
    pub counters: u64,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Everything ever accepted, by where it is.
    pub ledger: Ledger,
    /// Notifications whose `deliver_after` has not come.
    pub scheduled: u64,
    /// The earliest window end among what waits.
    pub oldest_window_end: Option<Timestamp>,
}

/// Names what collapses: one device, message type and topic, real and dry run apart. The first 16 bytes of a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WakeupKey(pub [u8; 16]);

impl WakeupKey {
    /// For a registered device.
    pub fn for_subscription(
        id: SubscriptionId,
        message_type: &MessageType,
        dry_run: DryRun,
    ) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"subscription\0");
        hash.update(id.as_bytes());
        Self::finish(hash, message_type, dry_run)
    }

    /// For a token that nobody registered.
    pub fn for_token(
        token: TokenKey,
        topic: Option<&Topic>,
        message_type: &MessageType,
        dry_run: DryRun,
    ) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"token\0");
        hash.update(token.0);
        hash.update(topic.map_or("", Topic::as_str));
        hash.update([0]);
        Self::finish(hash, message_type, dry_run)
    }

    fn finish(mut hash: Sha256, message_type: &MessageType, dry_run: DryRun) -> Self {
        hash.update(message_type.as_str());
        hash.update([u8::from(dry_run == DryRun::Yes)]);
        Self(first_16(&hash.finalize()))
    }
}
