//! Cases of inboxes, of users who have looked, and of users who go.

use reveille_model::{Audience, Content, MessageType, Notification, NotificationId, Settled};

use super::Case;
use super::scene::{Scene, at, notification, user};
use crate::{InboxItem, Item, ReadWhich, Section, Seen, Sweep, Wakes};

pub(super) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("an inbox is read newest first", |store| Box::pin(pages(Scene::new(store)))),
        ("what was seen is remembered", |store| Box::pin(seen(Scene::new(store)))),
        ("an inbox holds so much for so long", |store| Box::pin(bounded(Scene::new(store)))),
        ("scheduled content comes when it falls due", |store| Box::pin(due(Scene::new(store)))),
        ("whoever has looked is not woken for what was before", |store| {
            Box::pin(fetched(Scene::new(store)))
        }),
        ("what is in flight is not cancelled", |store| Box::pin(in_flight(Scene::new(store)))),
        ("a user who goes leaves nothing", |store| Box::pin(erased(Scene::new(store)))),
    ]
}

fn with_content(number: u8, users: &[&str]) -> Notification {
    let content = Some(Content::from_json(format!("{{\"number\":{number}}}")));
    Notification { content, ..notification(number, users) }
}

fn id(number: u8) -> NotificationId {
    notification(number, &[]).id
}

impl Scene {
    async fn inbox(&self, name: &str, before: Option<u8>, limit: usize) -> Vec<InboxItem> {
        self.store.items(&user(name), before.map(id), limit).await.expect("items")
    }

    async fn numbers(&self, name: &str, before: Option<u8>, limit: usize) -> Vec<NotificationId> {
        self.inbox(name, before, limit).await.into_iter().map(|item| item.id).collect()
    }

    async fn look(&self, name: &str) -> u64 {
        let types = vec![MessageType::parse("checkEchoV1").expect("a word")];
        self.store.fetched(&user(name), types).await.expect("fetched")
    }

    async fn go(&self, name: &str) {
        let types = vec![MessageType::parse("checkEchoV1").expect("a word")];
        self.store.erase(&user(name), types).await.expect("erase");
        self.ledger().await;
    }
}

async fn pages(scene: Scene) {
    for number in 1..=5 {
        let one = with_content(number, &["u", "u", "v"]);
        scene.accept(at(number.into()), at(100), Item::Notification(one)).await;
    }
    scene.accept(at(6), at(100), Item::Notification(notification(6, &["u"]))).await;
    assert_eq!(scene.numbers("u", None, 2).await, [id(5), id(4)], "without a device, too");
    assert_eq!(scene.numbers("u", Some(4), 10).await, [id(3), id(2), id(1)]);
    assert_eq!(scene.numbers("u", Some(1), 10).await, []);
    assert_eq!(scene.numbers("u", Some(77), 10).await, [], "there is none such");
    let newest = scene.inbox("v", None, 1).await;
    let newest = newest.first().expect("one");
    assert_eq!(
        (newest.at, newest.is_read, newest.content.expose()),
        (at(5), false, "{\"number\":5}")
    );
    assert_eq!(newest.event_type, notification(5, &[]).event_type);

    let read = async |which| scene.store.read(&user("u"), which).await.expect("read");
    let is_read = async |name: &str| {
        let items = scene.inbox(name, None, 10).await;
        items.iter().map(|item| item.is_read).collect::<Vec<_>>()
    };
    read(ReadWhich::Ids(vec![id(4), id(77)])).await;
    assert_eq!(is_read("u").await, [false, true, false, false, false]);
    read(ReadWhich::All).await;
    scene.store.unread(&user("u"), vec![id(3), id(77)]).await.expect("marked");
    assert_eq!(is_read("u").await, [true, true, false, true, true]);
    read(ReadWhich::All).await;
    assert_eq!(is_read("u").await, [true; 5]);
    assert_eq!(is_read("v").await, [false; 5], "each their own");
    // By the device it is its user's.
    let device = scene.register("v", "t", at(7)).await;
    let audience = Audience::Subscriptions(vec![device.id]);
    let one = Notification { audience, ..with_content(8, &[]) };
    scene.accept(at(8), at(100), Item::Notification(one)).await;
    assert_eq!(scene.numbers("v", None, 1).await, [id(8)]);
}

async fn seen(scene: Scene) {
    let of = async |name: &str| scene.store.seen(&user(name)).await.expect("seen");
    let see = async |sections: &[Section], second| {
        scene.store.see(&user("u"), sections.to_vec(), at(second)).await.expect("seen");
    };
    assert_eq!(of("u").await, Seen::default());
    see(&[Section::Alert], 5).await;
    assert_eq!(of("u").await, Seen { alerts: Some(at(5)), messages: None });
    see(&[Section::Message, Section::Alert], 7).await;
    see(&[Section::Alert], 6).await;
    assert_eq!(of("u").await, Seen { alerts: Some(at(7)), messages: Some(at(7)) }, "never back");
    assert_eq!(of("v").await, Seen::default(), "each their own");
    scene.go("u").await;
    assert_eq!(of("u").await, Seen::default(), "it goes with its user");
}

async fn bounded(scene: Scene) {
    use reveille_model::limits::INBOX_PER_USER_MAX;
    for number in 0..=INBOX_PER_USER_MAX {
        let mut bytes = [0; 16];
        for (place, byte) in bytes.iter_mut().zip(number.to_be_bytes()) {
            *place = byte;
        }
        let one = Notification { id: NotificationId::from_bytes(bytes), ..with_content(1, &["u"]) };
        scene.accept(at(10), at(100), Item::Notification(one)).await;
    }
    let items = scene.inbox("u", None, 10_000).await;
    assert_eq!(items.len(), INBOX_PER_USER_MAX);
    assert!(items.iter().all(|item| *item.id.as_bytes() != [0; 16]), "the oldest made room");
    let early = reveille_model::Timestamp::EPOCH;
    let sweep = Sweep {
        now: at(20),
        trails_before: early,
        idempotency_before: early,
        suspects_before: early,
        counters_before: at(0),
        inbox_before: at(10),
        limit: 1_000,
    };
    assert_eq!(scene.store.sweep(sweep).await.expect("sweep").inbox_items, 0);
    scene.store.see(&user("u"), vec![Section::Alert], at(10)).await.expect("seen");
    scene.store.see(&user("v"), vec![Section::Alert], at(11)).await.expect("seen");
    let sweep = Sweep { inbox_before: at(11), ..sweep };
    assert_eq!(
        scene.store.sweep(sweep).await.expect("sweep").inbox_items,
        INBOX_PER_USER_MAX as u64
    );
    assert_eq!(scene.inbox("u", None, 10).await, []);
    let seen = async |name: &str| scene.store.seen(&user(name)).await.expect("seen").alerts;
    assert_eq!((seen("u").await, seen("v").await), (None, Some(at(11))), "seen goes with it");
}

async fn due(scene: Scene) {
    let later =
        |number| Notification { deliver_after: Some(at(15)), ..with_content(number, &["u"]) };
    for number in [1, 2] {
        scene.notify(later(number), at(10)).await;
    }
    assert_eq!(scene.numbers("u", None, 10).await, []);
    scene.store.take_back(id(1)).await.expect("take back");
    scene.end_window(at(20)).await;
    let items = scene.inbox("u", None, 10).await;
    assert_eq!(items.iter().map(|item| (item.id, item.at)).collect::<Vec<_>>(), [(id(2), at(15))]);
}

async fn fetched(scene: Scene) {
    scene.register("u", "phone", at(0)).await;
    scene.register("u", "tablet", at(0)).await;
    scene.register("v", "other", at(0)).await;
    assert_eq!(scene.look("u").await, 0, "nothing waits");
    scene.notify(notification(1, &["u", "v"]), at(10)).await;
    scene.tokens(&["phone"], at(10)).await;
    assert_eq!(scene.look("u").await, 0, "the window is open: what is in it goes at its end");
    scene.notify(notification(2, &["u"]), at(10)).await;
    scene.end_window(at(10)).await;
    assert_eq!(scene.ledger().await.settled(Settled::Cancelled), 3);
    let mut woken = scene.claim_tokens(at(10), 1).await;
    woken.sort_unstable();
    assert_eq!(woken, ["other", "phone", "tablet"], "what came after they looked");
    // What is expanded and waits goes at once.
    scene.notify(notification(3, &["u", "v"]), at(20)).await;
    scene.end_window(at(20)).await;
    assert_eq!(scene.look("u").await, 2);
    assert_eq!(scene.look("u").await, 0);
    assert_eq!(scene.claim_tokens(at(20), 2).await, ["other"]);
    assert_eq!(scene.look("nobody").await, 0);
}

async fn in_flight(scene: Scene) {
    scene.register("u", "phone", at(0)).await;
    scene.notify(notification(1, &["u"]), at(10)).await;
    scene.end_window(at(10)).await;
    let claimed = scene.claim(at(10), 1).await;
    assert_eq!(scene.look("u").await, 0);
    scene.finish(&claimed, at(11)).await;
    assert_eq!(scene.ledger().await.settled(Settled::Sent), 1);
}

async fn erased(scene: Scene) {
    for name in ["u", "v"] {
        scene.register(name, &format!("phone-of-{name}"), at(0)).await;
        scene.register(name, &format!("waiting-of-{name}"), at(0)).await;
        let said: Wakes = [(notification(1, &[]).event_type, true)].into();
        scene.store.prefer(&user(name), said).await.expect("prefer");
    }
    scene.notify(with_content(1, &["u", "v"]), at(10)).await;
    scene.end_window(at(10)).await;
    scene.notify(with_content(2, &["u", "v"]), at(20)).await;
    let later = Notification { deliver_after: Some(at(30)), ..with_content(3, &["u", "v"]) };
    scene.notify(later, at(20)).await;
    scene.tokens(&["phone-of-u"], at(20)).await;
    scene.go("u").await;
    scene.go("nobody").await;
    assert_eq!(scene.devices("u").await.len(), 0);
    assert_eq!(scene.store.preferences(&user("u")).await.expect("preferences"), Wakes::new());
    assert_eq!(scene.inbox("u", None, 10).await, []);
    assert_eq!(scene.ledger().await.settled(Settled::Cancelled), 2, "what waited");
    assert_eq!(scene.devices("v").await.len(), 2);
    assert_eq!(scene.inbox("v", None, 10).await.len(), 2);
    scene.end_window(at(40)).await;
    assert_eq!(scene.inbox("u", None, 10).await, [], "what was scheduled names them no longer");
    assert_eq!(scene.inbox("v", None, 10).await.len(), 3);
    let mut woken = scene.claim_tokens(at(40), 1).await;
    woken.sort_unstable();
    // The caller named the token itself, for whoever has it.
    assert_eq!(woken, ["phone-of-u", "phone-of-v", "waiting-of-v"]);
}
