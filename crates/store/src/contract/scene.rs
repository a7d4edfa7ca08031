//! What the cases share: a store, one credential set, and steps that check the ledger each time.

use std::sync::Arc;

use reveille_model::{
    Audience, CredentialSet, DryRun, Duration, EventType, LeaseId, Ledger, MessageType,
    NewSubscription, Notification, NotificationId, Policy, Provider, Settled, Shuffle, Spread,
    Strike, Subscription, SubscriptionId, Timestamp, Token, User,
};

use crate::{
    AcceptError, Acceptance, Accepted, Claim, Claimed, Destination, End, Expanded, Idempotency,
    Item, Next, Put, SettleBatch, SettleReport, Settlement, Store, Suspicion, Sweep, Swept,
    TokenMessage,
};

/// It is to be decided which cohorts leave, and nothing else is done before.
pub(super) const TO_MUSTER: Expanded =
    Expanded { wakeups: 0, collapsed: 0, released: false, next: Next::Muster };

/// Seconds after an arbitrary start.
pub(super) fn at(seconds: u32) -> Timestamp {
    Timestamp::from_ms(1_000_000_000).plus(Duration::from_s(seconds))
}

pub(super) fn set() -> CredentialSet {
    CredentialSet::new(Provider::Fcm, "default").expect("a name")
}

pub(super) fn token(text: &str) -> Token {
    Token::parse(Provider::Fcm, text).expect("a token")
}

pub(super) fn user(text: &str) -> User {
    User::parse(text).expect("a user")
}

pub(super) fn message(tokens: &[&str]) -> TokenMessage {
    TokenMessage {
        set: set(),
        topic: None,
        message_type: MessageType::parse("checkEchoV1").expect("a word"),
        ttl: Duration::from_s(3600),
        dry_run: DryRun::No,
        tokens: tokens.iter().copied().map(token).collect(),
        unusable: 0,
    }
}

pub(super) fn notification(number: u8, users: &[&str]) -> Notification {
    Notification {
        id: NotificationId::from_bytes([number; 16]),
        event_type: EventType::parse("mention").expect("a word"),
        message_type: MessageType::parse("checkEchoV1").expect("a word"),
        audience: Audience::Users(users.iter().copied().map(user).collect()),
        ttl: Duration::from_s(3600),
        dry_run: DryRun::No,
        deliver_after: None,
        spread: Spread::default(),
        policy: Policy::OPEN,
        content: None,
    }
}

/// How long quarantined devices are left alone.
pub(super) const HOLD: Duration = Duration::from_s(100);

#[derive(Clone)]
pub(super) struct Scene {
    pub(super) store: Arc<dyn Store>,
}

impl Scene {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    pub(super) async fn ledger(&self) -> Ledger {
        let ledger = self.store.depth().await.expect("depth").ledger;
        assert!(ledger.fits(), "the accounting does not fit: {ledger:?}");
        ledger
    }

    pub(super) async fn try_accept(
        &self,
        item: Item,
        window_end: Timestamp,
        idempotency: Option<Idempotency>,
    ) -> Result<Accepted, AcceptError> {
        let acceptance = Acceptance {
            now: at(0),
            window_end,
            waiting_max: 10_000,
            idempotency,
            items: vec![item],
        };
        let accepted = self.store.accept(acceptance).await;
        self.ledger().await;
        accepted
    }

    /// Accepts tokens for the window that ends at `window_end`.
    pub(super) async fn tokens(&self, tokens: &[&str], window_end: Timestamp) {
        self.try_accept(Item::Tokens(message(tokens)), window_end, None).await.expect("accepted");
    }

    /// Accepts a notification for the window that ends at `window_end`.
    pub(super) async fn notify(
        &self,
        notification: Notification,
        window_end: Timestamp,
    ) -> NotificationId {
        let id = notification.id;
        self.try_accept(Item::Notification(notification), window_end, None)
            .await
            .expect("accepted");
        id
    }

    /// Accepts something now.
    pub(super) async fn accept(
        &self,
        now: Timestamp,
        window_end: Timestamp,
        item: Item,
    ) -> Accepted {
        let items = vec![item];
        let acceptance =
            Acceptance { now, window_end, waiting_max: 10_000, idempotency: None, items };
        let accepted = self.store.accept(acceptance).await.expect("accepted");
        self.ledger().await;
        accepted
    }

    /// Forgets what is over by itself.
    pub(super) async fn sweep(&self, now: Timestamp) -> Swept {
        let before = Timestamp::EPOCH;
        let sweep = Sweep {
            now,
            trails_before: before,
            idempotency_before: before,
            suspects_before: before,
            counters_before: now,
            inbox_before: before,
            limit: 100,
        };
        self.store.sweep(sweep).await.expect("sweep")
    }

    /// Ends a window: closes and expands it. Those cohorts leave that were let before.
    pub(super) async fn end_window(&self, until: Timestamp) -> u64 {
        self.store.close(until).await.expect("close");
        let mut wakeups = 0;
        for call in 0..100 {
            let expanded = self.expand(until, call).await;
            wakeups += expanded.wakeups;
            if expanded.next == Next::Muster {
                self.store.mustered(until).await.expect("mustered");
            }
            if expanded.is_done() {
                return wakeups;
            }
        }
        unreachable!("expanding does not end");
    }

    /// One transaction of expanding.
    pub(super) async fn expand(&self, until: Timestamp, seed: u8) -> Expanded {
        let shuffle = Shuffle::from_seed([seed; 32]);
        let expanded = self.store.expand(until, shuffle).await.expect("expand");
        self.ledger().await;
        if expanded.next == Next::Muster {
            assert_eq!(expanded, TO_MUSTER);
        }
        expanded
    }

    /// Claims everything due, under lease `lease` for 60 seconds.
    pub(super) async fn claim(&self, now: Timestamp, lease: u64) -> Vec<Claimed> {
        self.claim_of(set(), now, lease).await
    }

    pub(super) async fn claim_of(
        &self,
        set: CredentialSet,
        now: Timestamp,
        lease: u64,
    ) -> Vec<Claimed> {
        let claim = Claim {
            set,
            now,
            lease: LeaseId::from_random(lease << 1),
            lease_until: now.plus(Duration::from_s(60)),
            limit: 100,
            hold: HOLD,
        };
        let claimed = self.store.claim(claim).await.expect("claim");
        self.ledger().await;
        claimed
    }

    /// Claims and says which tokens came, in order.
    pub(super) async fn claim_tokens(&self, now: Timestamp, lease: u64) -> Vec<String> {
        self.claim(now, lease).await.iter().map(|each| each.token.expose().to_owned()).collect()
    }

    pub(super) async fn settle(&self, claimed: &Claimed, end: End, now: Timestamp) -> SettleReport {
        self.settle_struck(claimed, end, None, now).await
    }

    pub(super) async fn settle_struck(
        &self,
        claimed: &Claimed,
        end: End,
        strike: Option<(Strike, Suspicion)>,
        now: Timestamp,
    ) -> SettleReport {
        let Claimed { id, lease, device, .. } = *claimed;
        let settlements = vec![Settlement { id, lease, device, end, strike }];
        let tell = vec![Destination::Webhook];
        let batch = SettleBatch { settlements, now, hold: HOLD, tell };
        let report = self.store.settle(batch).await.expect("settle");
        self.ledger().await;
        report
    }

    /// Settles all as accepted by the provider.
    pub(super) async fn finish(&self, claimed: &[Claimed], now: Timestamp) {
        for each in claimed {
            self.settle(each, End::Settled(Settled::Sent), now).await;
        }
    }

    /// Registers a device. The id is derived from the token, so that cases can tell devices apart.
    pub(super) async fn register(
        &self,
        name: &str,
        token_text: &str,
        now: Timestamp,
    ) -> Subscription {
        match self.put(name, token_text, now).await {
            Put::Created { subscription, .. } | Put::Refreshed(subscription) => subscription,
        }
    }

    pub(super) async fn put(&self, name: &str, token_text: &str, now: Timestamp) -> Put {
        let mut id = [0; 16];
        let seed = format!("{token_text}/{name}");
        for (place, byte) in id.iter_mut().zip(seed.bytes()) {
            *place = byte;
        }
        let new =
            NewSubscription { user: user(name), set: set(), topic: None, token: token(token_text) };
        self.store.put(new, SubscriptionId::from_bytes(id), 3, now).await.expect("put")
    }

    /// The tokens of a user's devices.
    pub(super) async fn devices(&self, name: &str) -> Vec<String> {
        let listed = self.store.list(&user(name)).await.expect("list");
        listed.iter().map(|each| each.token.expose().to_owned()).collect()
    }
}
