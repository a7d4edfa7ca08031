//! Cohorts where several nodes work on them: one of all decides which leave with a batch, and what came too late to be handed on is.
#![cfg(test)]

use reveille_model::{
    Audience, CohortSizes, CredentialSet, DryRun, Duration, EventType, MessageType,
    NewSubscription, Notification, NotificationId, Policy, Provider, Shuffle, Spread,
    SubscriptionId, Timestamp, Token, User,
};
use reveille_store::{
    Acceptance, Cohorts as _, Expanded, Group, Item, Leaving, Mix, Next, Outbox, Subscriptions as _,
};
use reveille_store_mariadb::{MariaDbSettings, MariaDbStore};
use reveille_testkit::{Dir, Galera, MariaDb, needs_all};

const SIZES: CohortSizes = CohortSizes { form: 4, floor: 2 };
const TO_MUSTER: Expanded =
    Expanded { wakeups: 0, collapsed: 0, released: false, next: Next::Muster };

/// Seconds after an arbitrary start.
const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_ms(1_000_000 + seconds * 1_000)
}

fn set() -> CredentialSet {
    CredentialSet::new(Provider::Fcm, "default").unwrap()
}

fn user(number: u8) -> User {
    User::parse(&format!("user-{number}")).unwrap()
}

/// A server, and what its nodes share.
struct Rig {
    server: MariaDb,
    dir: Dir,
}

fn settings(url: String, dir: &Dir) -> MariaDbSettings {
    let mut settings = MariaDbSettings::new(url, dir.join("reveille.key"));
    settings.password = Some(MariaDb::PASSWORD.to_owned());
    settings.clock_skew_max = None;
    settings
}

async fn node(settings: MariaDbSettings) -> MariaDbStore {
    let store = MariaDbStore::open(settings, at(0)).await.unwrap();
    let mix = Mix {
        sizes: Some(SIZES),
        silent: [set()].into(),
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        ttl: Duration::from_s(3_600),
        ghost_after_erasure: true,
    };
    store.mix(mix).await.unwrap();
    store
}

/// Eight users in two cohorts.
async fn found(store: &MariaDbStore) {
    for number in 0..8 {
        let token = Token::parse(Provider::Fcm, &format!("phone-{number}")).unwrap();
        let new = NewSubscription { user: user(number), set: set(), topic: None, token };
        let id = SubscriptionId::from_bytes([number; 16]);
        store.put(new, id, 3, at(0)).await.unwrap();
    }
    let nursery = store.nurseries().await.unwrap().remove(0);
    let groups: Vec<Group> = nursery.groups.iter().map(|(group, _)| *group).collect();
    let cohorts = groups.chunks(SIZES.form).map(<[Group]>::to_vec).collect();
    assert!(store.found(nursery.stratum, cohorts).await.unwrap());
}

impl Rig {
    async fn start() -> Option<Self> {
        let rig = Self { server: MariaDb::start().await?, dir: Dir::new() };
        MariaDbStore::migrate(&settings(rig.server.url(), &rig.dir)).await.unwrap();
        let store = rig.node().await;
        found(&store).await;
        store.close().await;
        Some(rig)
    }

    async fn node(&self) -> MariaDbStore {
        node(settings(self.server.url(), &self.dir)).await
    }

    /// Whoever musters has not been seen for an hour.
    fn time_passes(&self) {
        self.server.run("UPDATE musters SET seen_at = seen_at - 3600000000;");
    }
}

async fn notify(store: &MariaDbStore, number: u8, window_end: Timestamp, due: Option<Timestamp>) {
    let notification = Notification {
        id: NotificationId::from_bytes([number; 16]),
        event_type: EventType::parse("mention").unwrap(),
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        audience: Audience::Users(vec![user(number)]),
        ttl: Duration::from_s(60),
        dry_run: DryRun::No,
        deliver_after: due,
        spread: Spread::default(),
        policy: Policy::OPEN,
        content: None,
    };
    let acceptance = Acceptance {
        now: window_end.minus(Duration::from_s(5)),
        window_end,
        waiting_max: 1_000,
        idempotency: None,
        items: vec![Item::Notification(notification)],
    };
    store.accept(acceptance).await.unwrap();
}

async fn end_window(store: &MariaDbStore, until: Timestamp) {
    Outbox::close(store, until).await.unwrap();
}

async fn expand(store: &MariaDbStore, until: Timestamp) -> Expanded {
    store.expand(until, Shuffle::from_seed([7; 32])).await.unwrap()
}

/// Expands until nothing is left; returns how many devices are woken.
async fn expand_all(store: &MariaDbStore, until: Timestamp) -> u64 {
    let mut wakeups = 0;
    loop {
        let expanded = expand(store, until).await;
        assert!(expanded.next != Next::Muster);
        wakeups += expanded.wakeups + expanded.collapsed;
        if expanded.is_done() {
            return wakeups;
        }
    }
}

/// Lets every cohort leave. Returns whether that was heard.
async fn lead(store: &MariaDbStore, until: Timestamp) -> bool {
    let leave = |id| Leaving { id, paid_at: until };
    let cohorts = store.cohorts().await.unwrap();
    store.lead(until, cohorts.iter().map(|each| leave(each.id)).collect()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_musters_and_the_others_wait() {
    let Some(rig) = Rig::start().await else {
        println!("{}", needs_all("several nodes on a real MariaDB"));
        return;
    };
    let (one, other) = (rig.node().await, rig.node().await);
    notify(&one, 1, at(10), None).await;
    for node in [&one, &other] {
        end_window(node, at(10)).await;
    }
    assert_eq!(expand(&one, at(10)).await, TO_MUSTER);
    assert_eq!(expand(&other, at(10)).await, Expanded::default(), "it has only waited");
    assert!(!lead(&other, at(10)).await, "it is not the one to decide");
    assert!(!other.mustered(at(10)).await.unwrap());
    assert_eq!(expand(&one, at(10)).await, TO_MUSTER, "nor to say that it is decided");
    assert!(lead(&one, at(10)).await);
    assert!(one.mustered(at(10)).await.unwrap());
    // Whoever is first wakes them.
    assert_eq!(expand_all(&other, at(10)).await, 8);
    assert_eq!(expand_all(&one, at(10)).await, 0);
    // What comes too late is not heard: the batch has left.
    assert!(!lead(&one, at(10)).await);
    assert_eq!(one.marked(at(10)).await.unwrap(), []);

    // One that ends leaves it to others.
    notify(&one, 2, at(20), None).await;
    end_window(&one, at(20)).await;
    assert_eq!(expand(&one, at(20)).await, TO_MUSTER);
    one.close().await;
    assert_eq!(expand(&other, at(20)).await, TO_MUSTER);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_musters_and_is_not_seen_is_replaced() {
    let Some(rig) = Rig::start().await else {
        println!("{}", needs_all("several nodes on a real MariaDB"));
        return;
    };
    let (one, other) = (rig.node().await, rig.node().await);
    notify(&one, 1, at(10), None).await;
    notify(&one, 2, at(10), Some(at(15))).await;
    end_window(&one, at(10)).await;
    assert_eq!(expand(&one, at(10)).await, TO_MUSTER);
    // It sleeps for longer than a window.
    rig.time_passes();
    end_window(&other, at(20)).await;
    assert_eq!(expand(&other, at(20)).await, Expanded::default(), "what fell due is brought in");
    assert!(!lead(&one, at(10)).await, "it does not know of that");
    assert_eq!(expand(&other, at(20)).await, TO_MUSTER);
    assert!(!one.mustered(at(10)).await.unwrap());
    assert!(!lead(&one, at(10)).await);
    assert_eq!(expand(&other, at(20)).await, TO_MUSTER);
    assert!(lead(&other, at(20)).await);
    assert!(other.mustered(at(20)).await.unwrap());
    assert!(!lead(&one, at(10)).await);
    assert_eq!(expand_all(&one, at(10)).await, 0, "it was decided for later windows, too");
    assert_eq!(expand_all(&other, at(20)).await, 8);

    // One that was only slow goes on, if nobody else has begun.
    notify(&one, 3, at(30), None).await;
    end_window(&one, at(30)).await;
    assert_eq!(expand(&one, at(30)).await, TO_MUSTER);
    rig.time_passes();
    assert!(lead(&one, at(30)).await);
    assert_eq!(expand(&other, at(30)).await, Expanded::default(), "it is seen again");
    assert!(one.mustered(at(30)).await.unwrap());
    assert_eq!(expand_all(&other, at(30)).await, 8);

    // One at which it fails again and again does not come on.
    notify(&one, 4, at(40), None).await;
    end_window(&one, at(40)).await;
    assert_eq!(expand(&one, at(40)).await, TO_MUSTER);
    rig.time_passes();
    assert_eq!(expand(&one, at(40)).await, TO_MUSTER);
    assert_eq!(expand(&other, at(40)).await, TO_MUSTER);
    assert!(!lead(&one, at(40)).await);
}

/// A clock that ran ahead for a while, of the nodes or of the database, holds up nobody once it is right.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_musters_with_a_wrong_clock_is_not_heard_once_it_is_right() {
    let Some(rig) = Rig::start().await else {
        println!("{}", needs_all("several nodes on a real MariaDB"));
        return;
    };
    let one = rig.node().await;
    end_window(&one, at(9_000)).await;
    assert_eq!(expand(&one, at(9_000)).await, TO_MUSTER);
    // The next one that starts knows what time it is.
    let other = rig.node().await;
    assert!(expand(&one, at(9_000)).await.is_done(), "they are open again");
    assert!(!lead(&one, at(9_000)).await);
    assert!(!one.mustered(at(9_000)).await.unwrap());
    notify(&other, 1, at(10), None).await;
    end_window(&other, at(10)).await;
    assert_eq!(expand(&other, at(10)).await, TO_MUSTER);
    // It is gone, and the database's clock is set back.
    rig.server.run("UPDATE musters SET node = REPEAT('x', 16), seen_at = seen_at + 3600000000;");
    assert_eq!(expand(&other, at(10)).await, TO_MUSTER);
    assert!(lead(&other, at(10)).await);
    assert!(other.mustered(at(10)).await.unwrap());
    assert_eq!(expand_all(&other, at(10)).await, 8);
}

/// On several masters a mark may be made for a cohort that a user has left in the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_late_follows_those_it_may_be_for() {
    let Some(galera) = Galera::start_alone().await else {
        println!("{}", needs_all("cohorts on a real Galera"));
        return;
    };
    let dir = Dir::new();
    let settings = settings(galera.url(0), &dir);
    MariaDbStore::migrate(&settings).await.unwrap();
    let store = node(settings).await;
    found(&store).await;
    end_window(&store, at(10)).await;
    let left = galera.run(0, "SELECT DISTINCT cohort FROM successors;");
    let (left, ms) = (left.lines().last().unwrap_or_default(), Timestamp::as_ms);
    galera.run(0, &format!("UPDATE successors SET at = {};", ms(at(10))));
    // One of them has gone on to a third since.
    let formed = store.cohorts().await.unwrap();
    let (gone, next) = (formed.first().unwrap().id.0, formed.last().unwrap().id.0 + 1);
    galera.run(
        0,
        &format!(
            "INSERT INTO cohorts (id, stratum, standing, formed, live) SELECT {next}, stratum, standing, formed, live FROM cohorts WHERE id = {gone};
             INSERT INTO successors (cohort, successor, at) VALUES ({gone}, {next}, {});",
            ms(at(20))
        ),
    );
    // A mark for whoever was there then, in a window that is not the next; one for whoever is there since.
    for (window, since) in [(at(30), at(10)), (at(40), at(20))] {
        galera.run(
            0,
            &format!(
                "INSERT INTO marks (cohort, window_end, leaves, since) VALUES ({left}, {}, 0, {});
                 UPDATE lanes SET accepted = accepted + 1, waiting = waiting + 1 WHERE id = 0;",
                ms(window),
                ms(since)
            ),
        );
    }
    let marked = async |until| {
        end_window(&store, until).await;
        let ledger = store.depth().await.unwrap().ledger;
        assert!(ledger.fits(), "{ledger:?}");
        let marked = store.marked(until).await.unwrap();
        let formed = marked.iter().filter(|each| !each.is_provisional);
        formed.map(|each| each.since).collect::<Vec<_>>()
    };
    assert_eq!(marked(at(20)).await, []);
    assert_eq!(marked(at(30)).await, [at(30); 3]);
    assert_eq!(marked(at(40)).await, [at(30); 3], "nobody went to another cohort since");
}
