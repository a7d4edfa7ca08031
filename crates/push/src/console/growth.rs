//! How many devices there were of each credential set and topic, every ten minutes of the last day: what they have grown by since.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use reveille_model::{CredentialSet, Duration, Timestamp, Topic};
use reveille_service::clock::Clock;
use reveille_service::lifecycle::Lifecycle;
use reveille_store::Store;

use crate::board::lock;

/// How often it is looked.
const EVERY: Duration = Duration::from_s(600);
/// How many looks are kept: a day's, and the first.
const LOOKS_MAX: usize = 145;

/// What there is of each kind.
type Kinds = BTreeMap<(CredentialSet, Option<Topic>), u64>;

/// The looks that are kept, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<VecDeque<(Timestamp, Kinds)>>);

impl Looks {
    fn note(&self, now: Timestamp, kinds: Vec<(CredentialSet, Option<Topic>, u64)>) {
        let mut looks = lock(&self.0);
        if looks.len() == LOOKS_MAX {
            looks.pop_front();
        }
        let kinds = kinds.into_iter().map(|(set, topic, count)| ((set, topic), count));
        looks.push_back((now, kinds.collect()));
    }

    /// By how much a kind has grown within a span, or since the first look if that is not so long ago. Nothing before there was one.
    pub(super) fn growth(
        &self,
        (set, topic, count): &(CredentialSet, Option<Topic>, u64),
        (now, span): (Timestamp, Duration),
    ) -> Option<i64> {
        let looks = lock(&self.0);
        let (_, then) = looks.iter().find(|(at, _)| *at >= now.minus(span))?;
        let then = then.get(&(set.clone(), topic.clone())).copied().unwrap_or_default();
        Some(count.cast_signed() - then.cast_signed())
    }
}

/// Looks until the lifecycle stops.
pub(super) async fn look(
    looks: Arc<Looks>,
    (store, clock): (Arc<dyn Store>, Arc<dyn Clock>),
    lifecycle: Lifecycle,
) {
    while !lifecycle.is_stopping() {
        let now = clock.now();
        match store.kinds().await {
            Ok(kinds) => looks.note(now, kinds),
            Err(error) => tracing::error!(%error, "devices cannot be counted"),
        }
        tokio::select! {
            () = clock.sleep_until(now.plus(EVERY)) => {}
            () = lifecycle.stopping() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOKS_MAX, Looks};
    use crate::board::lock;
    use reveille_model::{CredentialSet, Duration, Provider, Timestamp};

    #[test]
    fn what_has_grown_is_told_by_the_span() {
        let fcm = CredentialSet::new(Provider::Fcm, "default").unwrap();
        let at = |minutes: u32| Timestamp::EPOCH.plus(Duration::from_s(minutes * 60));
        let (hour, day) = (Duration::from_s(3_600), Duration::from_s(86_400));
        let looks = Looks::default();
        let now = |count| (fcm.clone(), None, count);
        assert_eq!(looks.growth(&now(5), (at(0), hour)), None);
        for look in 0..=12_u32 {
            looks.note(at(look * 10), vec![now(u64::from(look) * 10)]);
        }
        assert_eq!(looks.growth(&now(125), (at(121), hour)), Some(125 - 70));
        assert_eq!(looks.growth(&now(50), (at(121), day)), Some(50));
        assert_eq!(looks.growth(&now(0), (at(121), hour)), Some(-70));
        let other = CredentialSet::new(Provider::Apns, "new").unwrap();
        assert_eq!(looks.growth(&(other, None, 3), (at(121), hour)), Some(3), "it is new");
        for look in 0..200 {
            looks.note(at(200 + look), Vec::new());
        }
        assert_eq!(lock(&looks.0).len(), LOOKS_MAX);
    }
}
