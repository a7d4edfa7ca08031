//! A store with a bit of everything.

use std::collections::BTreeMap;

use reveille_model::{
    Audience, CohortSizes, Content, CredentialSet, DryRun, Duration, EventType, LeaseId, Limit,
    Marked, MessageType, NewSubscription, Nonce, Notification, NotificationId, Policy, Proof,
    Provider, Providers, Reason, Settled, Shuffle, Spread, SubscriptionChange, SubscriptionId,
    Timestamp, Token, Topic, User,
};
use reveille_store::{
    Acceptance, Accepted, AskProof, Claim, Claimed, Destination, End, Group, Halt, Idempotency,
    Item, Leaving, Mix, Next, Section, SettleBatch, Settlement, Store, Suspicion, TokenMessage,
};

/// Devices of people to whom not much happens.
pub(crate) const MANY: u32 = 4_000;

/// Seconds after a moment in 2026 when no period of an hour ends soon.
pub(crate) fn at(seconds: u32) -> Timestamp {
    Timestamp::from_ms(1_764_500_400_000).plus(Duration::from_s(seconds))
}

pub(crate) fn sets() -> [CredentialSet; 3] {
    [(Provider::Fcm, "default"), (Provider::Apns, "app"), (Provider::WebPush, "mozilla")]
        .map(|(provider, name)| CredentialSet::new(provider, name).unwrap())
}

pub(crate) fn user(name: &str) -> User {
    User::parse(name).unwrap()
}

pub(crate) fn nonce() -> Nonce {
    Nonce::from_bytes([7; 16])
}

pub(crate) fn unproven() -> SubscriptionId {
    SubscriptionId::from_bytes([250; 16])
}

fn kind() -> MessageType {
    MessageType::parse("checkEchoV1").unwrap()
}

pub(crate) fn mix(sizes: Option<CohortSizes>) -> Mix {
    let [fcm, apns, _] = sets();
    Mix {
        sizes,
        silent: [fcm, apns].into(),
        message_type: kind(),
        ttl: Duration::from_s(3_600),
        ghost_after_erasure: true,
    }
}

fn device(name: &str, number: u32) -> (NewSubscription, SubscriptionId) {
    let set = sets()[usize::try_from(number % 3).unwrap()].clone();
    let (text, topic) = match set.provider() {
        Provider::Fcm => (format!("token-{name}-{number}"), None),
        Provider::Apns => (format!("{number:064x}"), Some(Topic::parse("org.example").unwrap())),
        Provider::WebPush => (format!("https://push.example/{number} {{\"auth\":\"x\"}}"), None),
    };
    let token = Token::parse(set.provider(), &text).unwrap();
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    (NewSubscription { user: user(name), set, topic, token }, SubscriptionId::from_bytes(id))
}

pub(crate) async fn register(store: &dyn Store, name: &str, number: u32) -> SubscriptionId {
    let (new, id) = device(name, number);
    store.put(new, id, 10, at(0)).await.unwrap();
    id
}

pub(crate) fn notification(number: u8, users: &[&str]) -> Notification {
    Notification {
        id: NotificationId::from_bytes([number; 16]),
        event_type: EventType::parse("mention").unwrap(),
        message_type: kind(),
        audience: Audience::Users(users.iter().copied().map(user).collect()),
        ttl: Duration::from_s(86_400),
        dry_run: DryRun::No,
        deliver_after: None,
        spread: Spread::default(),
        policy: Policy {
            wakes: true,
            limit: Some(Limit { count: 2, per: Duration::from_s(3_600) }),
        },
        content: Some(Content::from_json(format!("{{\"number\":{number}}}"))),
    }
}

pub(crate) fn repeatable() -> Idempotency {
    Idempotency { key: [3; 32], body: [4; 32] }
}

pub(crate) async fn accept(
    store: &dyn Store,
    item: Item,
    window_end: Timestamp,
    idempotency: Option<Idempotency>,
) -> Accepted {
    let (now, items) = (window_end.minus(Duration::from_s(5)), vec![item]);
    let acceptance = Acceptance { now, window_end, waiting_max: 100_000, idempotency, items };
    store.accept(acceptance).await.unwrap()
}

async fn notify(store: &dyn Store, notification: Notification, window_end: Timestamp) {
    accept(store, Item::Notification(notification), window_end, None).await;
}

/// Tokens that nobody has registered, in every way they are kept.
async fn tokens(store: &dyn Store, texts: &[&str], window_end: Timestamp) {
    let tokens = texts.iter().map(|text| Token::parse(Provider::Fcm, text).unwrap()).collect();
    let message = TokenMessage {
        set: sets()[0].clone(),
        topic: None,
        message_type: kind(),
        ttl: Duration::from_s(86_400),
        dry_run: DryRun::No,
        tokens,
        unusable: 1,
    };
    accept(store, Item::Tokens(message), window_end, None).await;
}

/// Every marked cohort leaves.
pub(crate) async fn end_window(store: &dyn Store, until: Timestamp) {
    store.close(until).await.unwrap();
    for seed in 0..100 {
        let expanded = store.expand(until, Shuffle::from_seed([seed; 32])).await.unwrap();
        if expanded.next == Next::Muster {
            let marked = store.marked(until).await.unwrap();
            let leave = |each: &Marked| Leaving { id: each.cohort.id, paid_at: at(5_000) };
            assert!(store.lead(until, marked.iter().map(leave).collect()).await.unwrap());
            assert!(store.mustered(until).await.unwrap());
        }
        if expanded.is_done() {
            return;
        }
    }
    unreachable!("expanding does not end");
}

pub(crate) async fn claim(store: &dyn Store, set: &CredentialSet, now: Timestamp) -> Vec<Claimed> {
    let lease = LeaseId::from_random(2 << 8);
    let (lease_until, hold) = (now.plus(Duration::from_s(600)), Duration::from_s(300));
    let claim = Claim { set: set.clone(), now, lease, lease_until, limit: 1_000, hold };
    store.claim(claim).await.unwrap()
}

/// Settles the first claimed ones, one for each end.
pub(crate) async fn settle(store: &dyn Store, claimed: &[Claimed], ends: Vec<End>, now: Timestamp) {
    let settlement = |(claimed, end): (&Claimed, End)| {
        let Claimed { id, lease, device, .. } = *claimed;
        Settlement { id, lease, device, end, strike: None }
    };
    let settlements = claimed.iter().zip(ends).map(settlement).collect();
    let (hold, tell) = (Duration::from_s(300), vec![Destination::Webhook, Destination::MediaWiki]);
    store.settle(SettleBatch { settlements, now, hold, tell }).await.unwrap();
}

async fn register_many(store: &dyn Store) {
    let numbers: Vec<u32> = (1_000..1_000 + MANY).collect();
    for part in numbers.chunks(500) {
        let import = |number: &u32| {
            let (new, id) = device(&format!("many-{number}"), *number);
            (new, id, at(0).minus(Duration::from_s(86_400 * (number % 9))))
        };
        store.import(part.iter().map(import).collect(), 10).await.unwrap();
    }
}

/// What has left, or tried to: sent, dead, suspected, tried again, in flight.
async fn deliver(store: &dyn Store) {
    for (number, name) in (1..).zip(["ann", "bea", "cid", "dan", "eve"]) {
        register(store, name, number).await;
        register(store, name, number + 100).await;
    }
    notify(store, notification(1, &["ann", "bea", "cid", "dan", "eve"]), at(10)).await;
    tokens(store, &["alone-1", "alone-2", "alone-3"], at(10)).await;
    end_window(store, at(10)).await;
    let mut claimed = claim(store, &sets()[0], at(10)).await;
    claimed.extend(claim(store, &sets()[1], at(10)).await);
    let suspicion = Suspicion { reason: Reason("BadDeviceToken"), is_trusted: false };
    let ends = [
        End::Settled(Settled::Sent),
        End::Dead(Proof::Unguarded, Reason("UNREGISTERED")),
        End::Suspected(suspicion),
        End::Retry(at(40)),
        End::Suspected(suspicion),
    ];
    settle(store, &claimed, ends.to_vec(), at(11)).await;
    // The others are in flight when all of them hear of something newer.
    notify(store, notification(2, &["ann", "bea", "cid", "dan"]), at(20)).await;
    tokens(store, &["alone-1", "alone-2", "alone-3"], at(20)).await;
    end_window(store, at(20)).await;
}

/// What users have said and see, and what is to come.
async fn wait(store: &dyn Store) {
    let quiet = BTreeMap::from([(EventType::parse("mention").unwrap(), false)]);
    store.prefer(&user("eve"), quiet).await.unwrap();
    store.see(&user("ann"), vec![Section::Alert], at(15)).await.unwrap();
    let mut later = notification(3, &["ann", "dan"]);
    (later.deliver_after, later.policy.limit) = (Some(at(500)), None);
    notify(store, later, at(30)).await;
    let once = Item::Notification(notification(4, &["bea"]));
    accept(store, once, at(30), Some(repeatable())).await;
    notify(
        store,
        Notification { policy: Policy::OPEN, ..notification(5, &["ann", "cid"]) },
        at(30),
    )
    .await;
    // What came before is not for her any more, what comes after is.
    store.fetched(&user("ann"), vec![kind()]).await.unwrap();
    tokens(store, &["alone-4"], at(900)).await;
    notify(
        store,
        Notification { policy: Policy::OPEN, ..notification(6, &["ann", "dan"]) },
        at(900),
    )
    .await;
    let (new, _) = device("fay", 300);
    let ask = AskProof {
        new,
        fresh: unproven(),
        nonce: nonce(),
        message_type: MessageType::parse("verifyV1").unwrap(),
        ttl: Duration::from_s(86_400),
        sort_key: 5,
        waiting_max: 100_000,
        per_user_max: 10,
        now: at(20),
    };
    store.ask_proof(ask).await.unwrap();
    store.pause(&sets()[1], at(700)).await.unwrap();
    store.halt(Halt::Pause(Providers::from_bits(4))).await.unwrap();
    store.key("caller", [9; 32]).await.unwrap();
}

/// A bit of everything, each device by itself. A release is under way.
pub(crate) async fn fill(store: &dyn Store) {
    store.mix(mix(None)).await.unwrap();
    register_many(store).await;
    deliver(store).await;
    wait(store).await;
    // The last one to have something in their inbox goes, and the number of that is not given again.
    notify(store, Notification { policy: Policy::OPEN, ..notification(8, &["zoe"]) }, at(30)).await;
    store.erase(&user("zoe"), vec![kind()]).await.unwrap();
    let names: Vec<String> = (1_000..1_000 + MANY).map(|number| format!("many-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = Notification { policy: Policy::OPEN, content: None, ..notification(7, &names) };
    notify(store, all, at(30)).await;
    store.close(at(30)).await.unwrap();
    let part = store.expand(at(30), Shuffle::from_seed([200; 32])).await.unwrap();
    assert!(part.wakeups > 0 && !part.released, "{part:?}");
}

pub(crate) const SIZES: CohortSizes = CohortSizes { form: 4, floor: 2 };

/// Users in cohorts: whole ones, a ghost, some who wait, sealed devices, and marks.
pub(crate) async fn fill_with_cohorts(store: &dyn Store) {
    store.mix(mix(Some(SIZES))).await.unwrap();
    for (number, name) in (0..).zip(["ann", "bea", "cid", "dan", "eve", "fay", "gus", "hal"]) {
        register(store, name, number * 3).await;
    }
    let nurseries = store.nurseries().await.unwrap();
    for nursery in nurseries {
        let groups: Vec<Group> = nursery.groups.iter().map(|(group, _)| *group).collect();
        let halves = groups.chunks(4).map(<[Group]>::to_vec).collect();
        assert!(store.found(nursery.stratum, halves).await.unwrap());
    }
    notify(store, notification(1, &["ann", "gus"]), at(10)).await;
    end_window(store, at(10)).await;
    store.erase(&user("hal"), vec![kind()]).await.unwrap();
    for (number, name) in (20..).zip(["ivy", "jon"]) {
        register(store, name, number * 3).await;
    }
    let sealed = register(store, "kim", 90).await;
    let change = SubscriptionChange { sealed: Some(true), ..SubscriptionChange::default() };
    store.change(&user("kim"), sealed, change, at(11)).await.unwrap();
    let mut later = Notification { content: None, ..notification(2, &["bea", "ivy"]) };
    later.deliver_after = Some(at(500));
    notify(store, later, at(20)).await;
    notify(store, Notification { content: None, ..notification(3, &["dan", "jon"]) }, at(20)).await;
    store.beat(at(15), at(20)).await.unwrap();
}
