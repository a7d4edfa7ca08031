//! The contract of the session store, for engines that are told the time and for those that have a clock of their own.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use reveille_model::{Duration, Namespace, SessionKey, Timestamp, Ttl};

use crate::{Condition, Entry, Etag, Quota, Refused, Sessions, Usage, Write};

/// A store and its time.
#[async_trait]
pub trait World: Send + Sync {
    /// The store.
    fn store(&self) -> &dyn Sessions;

    /// What time it is.
    fn now(&self) -> Timestamp;

    /// Returns when so many seconds have passed for the store.
    async fn pass(&self, seconds: u32);
}

type Case = fn(Scene) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// What one case uses: keys that no other case has.
#[derive(Clone)]
struct Scene {
    world: Arc<dyn World>,
    name: &'static str,
}

/// Runs every case on a world, which `world` makes for it or has made for all. It is told the case's name, to print it. An engine that does not count
/// leaves out quotas.
pub async fn run(mut world: impl AsyncFnMut(&str) -> Arc<dyn World>) {
    let cases: [(&'static str, Case); 11] = [
        ("what is written is read, whatever it is", |scene| Box::pin(scene.reads())),
        ("each key has its own entry", |scene| Box::pin(scene.keys())),
        ("the last write stands", |scene| Box::pin(scene.overwrites())),
        ("what is deleted is gone, and may be deleted again", |scene| Box::pin(scene.deletes())),
        ("an entry ends, and then there is none", |scene| Box::pin(scene.ends())),
        ("a touch lets an entry live on", |scene| Box::pin(scene.touches())),
        ("a write happens only if its condition holds", |scene| Box::pin(scene.conditions())),
        ("of many who add one succeeds", |scene| Box::pin(scene.race_to_add())),
        ("nobody overwrites what they have not seen", |scene| Box::pin(scene.race_to_swap())),
        ("what is held is counted and bounded", |scene| Box::pin(scene.quotas())),
        ("what has ended is swept", |scene| Box::pin(scene.sweeps())),
    ];
    for (name, case) in cases {
        case(Scene { world: world(name).await, name }).await;
    }
}

const HOUR: Ttl = Ttl::Seconds(3_600);

impl Scene {
    fn key(&self, name: &str) -> SessionKey {
        SessionKey::parse(&format!("{}:{name}", self.name)).expect("what was made before")
    }

    fn write(&self, name: &str, value: impl Into<Vec<u8>>) -> Write {
        Write {
            key: self.key(name),
            value: Bytes::from(value.into()),
            ttl: HOUR,
            namespace: Namespace::default_one(),
            quota: Quota::default(),
            condition: Condition::None,
        }
    }

    async fn try_set(&self, write: Write) -> Result<(), Refused> {
        self.world.store().set(write, self.world.now()).await
    }

    async fn set(&self, name: &str, value: &str) {
        self.try_set(self.write(name, value)).await.expect("an answer of the store");
    }

    async fn entry(&self, name: &str) -> Option<Entry> {
        self.world
            .store()
            .get(&self.key(name), self.world.now())
            .await
            .expect("an answer of the store")
    }

    async fn get(&self, name: &str) -> Option<String> {
        let entry = self.entry(name).await?;
        Some(String::from_utf8(entry.value.to_vec()).expect("what was made before"))
    }

    async fn delete(&self, name: &str, condition: Condition) -> Result<(), Refused> {
        self.world.store().delete(&self.key(name), condition, self.world.now()).await
    }

    async fn touch(&self, name: &str, seconds: u32, condition: Condition) -> Result<Etag, Refused> {
        let ttl = Ttl::Seconds(seconds);
        self.world.store().touch(&self.key(name), ttl, condition, self.world.now()).await
    }

    /// How many seconds an entry has left.
    async fn left(&self, name: &str) -> Option<u64> {
        let entry = self.entry(name).await.expect("an answer of the store");
        entry.expires_at.map(|end| end.since(self.world.now()).as_s())
    }

    async fn reads(self) {
        assert_eq!(self.get("nobody").await, None);
        let large: Vec<u8> = (0..1_048_576_u32).map(|at| at.to_le_bytes()[0]).collect();
        for value in [b"v".to_vec(), b"\0".to_vec(), vec![0xff, 0xfe, 0, 1], large] {
            self.try_set(self.write("value", value.clone())).await.expect("an answer of the store");
            assert_eq!(self.entry("value").await.expect("an answer of the store").value, value);
        }
    }

    async fn keys(self) {
        let names = ["a", "A", "a/b", "a//b", "a%2Fb", "a ", "é", "e\u{301}", "a\0b", "a'b\"", ""];
        for name in names {
            self.set(name, name.len().to_string().as_str()).await;
        }
        let long = "k".repeat(10_000);
        self.set(&long, "long").await;
        for name in names {
            assert_eq!(self.get(name).await, Some(name.len().to_string()), "{name:?}");
        }
        assert_eq!(self.get(&long).await.expect("an answer of the store"), "long");
        assert_eq!(self.get("b").await, None);
    }

    async fn overwrites(self) {
        for value in ["first", "the second, which is longer", "3"] {
            self.set("key", value).await;
            assert_eq!(self.get("key").await.expect("an answer of the store"), value);
        }
        self.try_set(Write { ttl: Ttl::Unlimited, ..self.write("key", "4") })
            .await
            .expect("an answer of the store");
        assert_eq!(self.left("key").await, None);
        self.set("key", "5").await;
        assert!((3_590..=3_600).contains(&self.left("key").await.expect("an answer of the store")));
    }

    async fn deletes(self) {
        self.set("key", "value").await;
        self.set("other", "other").await;
        for _ in 0..2 {
            self.delete("key", Condition::None).await.expect("an answer of the store");
            assert_eq!(self.get("key").await, None);
        }
        assert_eq!(self.get("other").await.expect("an answer of the store"), "other");
        self.set("key", "again").await;
        assert_eq!(self.get("key").await.expect("an answer of the store"), "again");
    }

    async fn ends(self) {
        for name in ["short", "touched", "added"] {
            let write = Write { ttl: Ttl::Seconds(2), ..self.write(name, "1") };
            self.try_set(write).await.expect("an answer of the store");
        }
        self.set("long", "1").await;
        assert!(self.left("short").await.expect("an answer of the store") <= 2);
        self.world.pass(3).await;
        assert_eq!(self.get("short").await, None);
        assert_eq!(self.touch("touched", 60, Condition::None).await, Err(Refused::Condition));
        let added = Write { condition: Condition::Absent, ..self.write("added", "2") };
        self.try_set(added).await.expect("an answer of the store");
        assert_eq!(self.get("added").await.expect("an answer of the store"), "2");
        let gone = self.delete("short", Condition::Present).await;
        assert_eq!(gone, Err(Refused::Condition));
        assert_eq!(self.get("long").await.expect("an answer of the store"), "1");
    }

    async fn touches(self) {
        let write = Write { ttl: Ttl::Seconds(100), ..self.write("key", "value") };
        self.try_set(write).await.expect("an answer of the store");
        let tag = self.touch("key", 7_000, Condition::None).await.expect("an answer of the store");
        assert_eq!(tag, Etag::of(b"value"));
        assert!((6_990..=7_000).contains(&self.left("key").await.expect("an answer of the store")));
        assert_eq!(self.get("key").await.expect("an answer of the store"), "value");
        let other = Condition::Match(vec![Etag::of(b"other")]);
        assert_eq!(self.touch("key", 9_000, other).await, Err(Refused::Condition));
        self.touch("key", 50, Condition::Match(vec![tag])).await.expect("an answer of the store");
        assert!(self.left("key").await.expect("an answer of the store") <= 50);
        assert_eq!(self.touch("nobody", 60, Condition::None).await, Err(Refused::Condition));
        assert_eq!(self.get("nobody").await, None);
        let (store, key, now) = (self.world.store(), self.key("key"), self.world.now());
        store
            .touch(&key, Ttl::Unlimited, Condition::None, now)
            .await
            .expect("an answer of the store");
        assert_eq!(self.left("key").await, None);
    }

    async fn conditions(self) {
        let tags = |values: &[&str]| {
            Condition::Match(values.iter().map(|value| Etag::of(value.as_bytes())).collect())
        };
        let set = async |value: &'static str, condition| {
            self.try_set(Write { condition, ..self.write("key", value) }).await
        };
        assert_eq!(set("1", Condition::Present).await, Err(Refused::Condition));
        assert_eq!(set("1", tags(&["1"])).await, Err(Refused::Condition));
        assert_eq!(self.get("key").await, None);
        set("1", Condition::Absent).await.expect("an answer of the store");
        assert_eq!(set("2", Condition::Absent).await, Err(Refused::Condition));
        assert_eq!(set("2", tags(&["2", "0"])).await, Err(Refused::Condition));
        assert_eq!(self.get("key").await.expect("an answer of the store"), "1");
        set("2", tags(&["0", "1"])).await.expect("an answer of the store");
        set("3", Condition::Present).await.expect("an answer of the store");
        assert_eq!(self.get("key").await.expect("an answer of the store"), "3");
        assert_eq!(self.delete("key", tags(&["2"])).await, Err(Refused::Condition));
        assert_eq!(self.delete("key", Condition::Absent).await, Err(Refused::Condition));
        assert_eq!(self.get("key").await.expect("an answer of the store"), "3");
        self.delete("key", tags(&["3"])).await.expect("an answer of the store");
        assert_eq!(self.get("key").await, None);
        assert_eq!(self.delete("key", Condition::Present).await, Err(Refused::Condition));
    }

    /// Runs so many at once and returns what they say.
    async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        count: u8,
        each: impl Fn(Self, u8) -> F,
    ) -> Vec<T> {
        let mut tasks: Vec<Pin<Box<F>>> =
            (0..count).map(|number| Box::pin(each(self.clone(), number))).collect();
        let mut done = Vec::new();
        // Polled in turn by one task: each waits for the store only.
        std::future::poll_fn(|context| {
            tasks.retain_mut(|task| match task.as_mut().poll(context) {
                std::task::Poll::Ready(value) => {
                    done.push(value);
                    false
                }
                std::task::Poll::Pending => true,
            });
            if tasks.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        done
    }

    /// Of an engine with several nodes nobody may know who has won: then the value says it.
    async fn race_to_add(self) {
        let added = self.at_once(10, async |scene, number| {
            let condition = Condition::Absent;
            let write = Write { condition, ..scene.write("key", [number]) };
            (number, scene.try_set(write).await)
        });
        let (mut winners, mut unknown) = (Vec::new(), Vec::new());
        for (number, added) in added.await {
            match added {
                Ok(()) => winners.push(number),
                Err(Refused::Store(_)) => unknown.push(number),
                Err(refused) => assert_eq!(refused, Refused::Condition),
            }
        }
        let found = self.entry("key").await.expect("somebody's").value;
        assert!(winners.len() <= 1, "{winners:?}");
        let could_be = if winners.is_empty() { unknown } else { winners };
        assert!(could_be.iter().any(|number| found == [*number][..]), "{could_be:?}");
    }

    /// The same here: what is not known to have happened may have.
    async fn race_to_swap(self) {
        self.set("count", "0").await;
        let rounds = self.at_once(4, async |scene, _| {
            let (mut swapped, mut unknown) = (0, 0);
            while swapped < 5 && unknown < 20 {
                let seen = scene.get("count").await.expect("it is never deleted");
                let next = seen.parse::<u32>().expect("a number") + 1;
                let condition = Condition::Match(vec![Etag::of(seen.as_bytes())]);
                let write = scene.write("count", next.to_string());
                match scene.try_set(Write { condition, ..write }).await {
                    Ok(()) => swapped += 1,
                    Err(Refused::Store(_)) => unknown += 1,
                    Err(refused) => assert_eq!(refused, Refused::Condition),
                }
            }
            (swapped, unknown)
        });
        let (swapped, unknown) =
            rounds.await.into_iter().fold((0, 0), |all, each| (all.0 + each.0, all.1 + each.1));
        let count = self.get("count").await.expect("it is there").parse::<u32>().expect("a number");
        assert!((swapped..=swapped + unknown).contains(&count), "{swapped} {unknown} {count}");
        assert!(swapped > 0);
    }

    async fn usage(&self, namespace: &str) -> Option<Usage> {
        let usage = self.world.store().usage().await.expect("an answer of the store")?;
        let of = usage.into_iter().find(|(name, _)| name.as_str() == namespace);
        Some(of.map(|(_, usage)| usage).unwrap_or_default())
    }

    async fn quotas(self) {
        if self.usage("small").await.is_none() {
            return;
        }
        let length = |name: &str| self.key(name).expose().len() as u64;
        let bytes = 2 * length("a") + 6;
        let write = |name: &str, value: &str| Write {
            namespace: Namespace::parse("small").expect("what was made before"),
            quota: Quota { entries_max: Some(2), bytes_max: Some(bytes) },
            ..self.write(name, value)
        };
        self.try_set(write("a", "123")).await.expect("an answer of the store");
        self.try_set(write("b", "123")).await.expect("an answer of the store");
        assert_eq!(
            self.usage("small").await.expect("an answer of the store"),
            Usage { entries: 2, bytes }
        );
        assert_eq!(self.try_set(write("c", "1")).await, Err(Refused::Full));
        assert_eq!(self.try_set(write("a", "1234")).await, Err(Refused::Full));
        assert_eq!(self.get("a").await.expect("an answer of the store"), "123");
        assert_eq!(self.get("c").await, None);
        self.try_set(write("a", "12")).await.expect("an answer of the store");
        self.try_set(write("b", "1234")).await.expect("an answer of the store");
        self.delete("a", Condition::None).await.expect("an answer of the store");
        self.try_set(write("c", "1")).await.expect("an answer of the store");
        let left = 2 * length("a") + 5;
        assert_eq!(
            self.usage("small").await.expect("an answer of the store"),
            Usage { entries: 2, bytes: left }
        );
        // Whatever a namespace is called now, an entry counts where it was written last.
        self.set("c", "elsewhere").await;
        assert_eq!(self.usage("small").await.expect("an answer of the store").entries, 1);
        // What is over its bounds since they became smaller may still shrink.
        let shrunk = Quota { entries_max: Some(0), bytes_max: Some(1) };
        self.try_set(Write { quota: shrunk, ..write("b", "1") })
            .await
            .expect("an answer of the store");
        self.try_set(Write { quota: shrunk, ..write("b", "12") }).await.expect_err("refused");
        self.delete("b", Condition::None).await.expect("an answer of the store");
        assert_eq!(self.usage("small").await.expect("an answer of the store"), Usage::default());
    }

    async fn sweeps(self) {
        if self.usage("swept").await.is_none() {
            return;
        }
        let namespace = Namespace::parse("swept").expect("what was made before");
        for number in 0..600_u32 {
            let ttl = if number == 7 { HOUR } else { Ttl::Seconds(1 + number / 300) };
            let write = self.write(&number.to_string(), "value");
            self.try_set(Write { ttl, namespace: namespace.clone(), ..write })
                .await
                .expect("an answer of the store");
        }
        let sweep = async || {
            self.world.store().upkeep(self.world.now()).await.expect("an answer of the store")
        };
        assert_eq!(sweep().await, 0);
        self.world.pass(1).await;
        assert_eq!(sweep().await, 299);
        self.world.pass(1).await;
        assert_eq!(sweep().await, 300);
        assert_eq!(sweep().await, 0);
        assert_eq!(self.usage("swept").await.expect("an answer of the store").entries, 1);
        self.world
            .pass(Duration::from_s(3_600).as_s().try_into().expect("what was made before"))
            .await;
        assert_eq!(sweep().await, 1);
        assert_eq!(self.usage("swept").await.expect("an answer of the store"), Usage::default());
    }
}
