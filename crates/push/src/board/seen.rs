//! What was seen, and everybody who sees something writes here.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use reveille_model::{CredentialSet, Outcome, Provider, SubscriptionId, Timestamp, Verdict};
use reveille_store::Census;

use super::meter::{Meter, Recent, Went};

/// Batches that are remembered.
const BATCHES_MAX: usize = 24;
/// Windows for which it is remembered how many they have gathered.
const WINDOWS_MAX: usize = 64;
/// Devices of which the last outcome is remembered.
const DEVICES_MAX: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

/// What was seen. Everybody who sees something writes here.
#[derive(Default)]
pub(crate) struct Board {
    requests: Mutex<Meter>,
    accepted: Mutex<Meter>,
    /// How many wake-ups and marks each window has gathered that has not been released.
    gathering: Mutex<BTreeMap<Timestamp, u64>>,
    sets: Mutex<BTreeMap<CredentialSet, Arc<Mutex<SetSeen>>>>,
    batches: Mutex<VecDeque<BatchSeen>>,
    privacy: Mutex<PrivacySeen>,
    /// Nothing where nobody looks.
    devices: Mutex<Option<LruCache<SubscriptionId, LastOutcome>>>,
    growth: Mutex<BTreeMap<Provider, Growth>>,
}

/// What a provider last said of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastOutcome {
    pub(crate) outcome: &'static str,
    pub(crate) reason: &'static str,
}

/// A batch that left, or a window in which there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchSeen {
    /// The end of its window.
    pub(crate) at: Timestamp,
    pub(crate) wakeups: u64,
    pub(crate) collapsed: u64,
    pub(crate) cohorts: usize,
}

/// Devices that came and went.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    pub(crate) created: Meter,
    pub(crate) deleted: Meter,
    pub(crate) dropped: Meter,
}

/// Why a device is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Created,
    /// On request.
    Deleted,
    /// On proof.
    Dropped,
}

/// What a credential set has come to.
#[derive(Debug, Default)]
pub(crate) struct SetSeen {
    /// Answers; badly: any but those of a push that was taken, or of a device that is gone.
    pub(crate) answers: Meter,
    /// Since the start. Both words are of closed lists.
    pub(crate) outcomes: BTreeMap<LastOutcomeKey, u64>,
    pub(crate) in_flight: usize,
    pub(crate) pace: u64,
    pub(crate) paused_until: Option<Timestamp>,
    pub(crate) scopes_paused: usize,
    /// Whether too many devices look dead for it to be believed.
    pub(crate) is_tripped: bool,
    pub(crate) is_refused: bool,
    pub(crate) last_trouble: Option<(Timestamp, LastOutcome)>,
}

type LastOutcomeKey = (&'static str, &'static str);

/// What whoever watches could tell, as last reckoned.
#[derive(Debug, Clone, Default)]
pub(crate) struct PrivacySeen {
    pub(crate) census: Option<Census>,
    pub(crate) worst_top1: Option<f64>,
    pub(crate) events_to_link: Option<f64>,
    pub(crate) order_rho: Option<f64>,
    pub(crate) overhead: Option<f64>,
    pub(crate) effective_set: Option<f64>,
    pub(crate) capped: usize,
    pub(crate) padding: u64,
    pub(crate) exposed: u64,
    /// Wake-ups of a device today: on average of those that were woken, and of the one that was woken most.
    pub(crate) per_day: Option<(f64, u32)>,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

/// What is counted stays right if whoever counted it panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    /// A request of a caller was answered.
    pub(crate) fn answered(&self, now: Timestamp, seconds: f64, went: Went) {
        lock(&self.requests).time(now, seconds, went);
    }

    /// Wake-ups and marks were accepted for a window.
    pub(crate) fn accepted(&self, now: Timestamp, window_end: Timestamp, count: u64) {
        lock(&self.accepted).add(now, count);
        let mut gathering = lock(&self.gathering);
        *gathering.entry(window_end).or_default() += count;
        if gathering.len() > WINDOWS_MAX {
            gathering.pop_first();
        }
    }

    /// How many gather in windows that have not been released.
    pub(crate) fn gathering(&self) -> u64 {
        lock(&self.gathering).values().sum()
    }

    /// Requests of the last minute, and how many there were in each ten seconds.
    pub(crate) fn requests(&self, now: Timestamp) -> (Recent, Vec<u64>) {
        lock(&self.requests).seen(now)
    }

    /// What was accepted, the same.
    pub(crate) fn acceptance(&self, now: Timestamp) -> (Recent, Vec<u64>) {
        lock(&self.accepted).seen(now)
    }

    /// Where a credential set's worker writes.
    pub(crate) fn set(&self, set: &CredentialSet) -> Arc<Mutex<SetSeen>> {
        Arc::clone(lock(&self.sets).entry(set.clone()).or_default())
    }

    /// All of them.
    pub(crate) fn sets(&self) -> Vec<(CredentialSet, Arc<Mutex<SetSeen>>)> {
        lock(&self.sets).iter().map(|(set, seen)| (set.clone(), Arc::clone(seen))).collect()
    }

    /// A window was released.
    pub(crate) fn released(&self, batch: BatchSeen) {
        lock(&self.gathering).retain(|end, _| *end > batch.at);
        let mut batches = lock(&self.batches);
        if batches.len() == BATCHES_MAX {
            batches.pop_front();
        }
        batches.push_back(batch);
    }

    /// The last ones, the oldest first.
    pub(crate) fn batches(&self) -> Vec<BatchSeen> {
        lock(&self.batches).iter().copied().collect()
    }

    pub(crate) fn privacy(&self) -> MutexGuard<'_, PrivacySeen> {
        lock(&self.privacy)
    }

    /// Somebody will ask what providers last said of devices: it is remembered from now on.
    pub(crate) fn remember_devices(&self) {
        lock(&self.devices).get_or_insert_with(|| LruCache::new(DEVICES_MAX));
    }

    /// A provider has said something of a device.
    pub(crate) fn heard(&self, device: SubscriptionId, verdict: Verdict) {
        if let Some(devices) = lock(&self.devices).as_mut() {
            devices.put(device, LastOutcome::of(verdict));
        }
    }

    /// What it last said, since the start, unless that was long ago.
    pub(crate) fn last_outcome(&self, device: SubscriptionId) -> Option<LastOutcome> {
        lock(&self.devices).as_ref()?.peek(&device).copied()
    }

    /// Devices came or went.
    pub(crate) fn changed(&self, now: Timestamp, provider: Provider, change: Change, count: u64) {
        let mut growth = lock(&self.growth);
        let of_provider = growth.entry(provider).or_default();
        let meter = match change {
            Change::Created => &mut of_provider.created,
            Change::Deleted => &mut of_provider.deleted,
            Change::Dropped => &mut of_provider.dropped,
        };
        meter.add(now, count);
    }

    pub(crate) fn growth(&self) -> MutexGuard<'_, BTreeMap<Provider, Growth>> {
        lock(&self.growth)
    }
}

impl LastOutcome {
    pub(crate) const fn of(verdict: Verdict) -> Self {
        Self { outcome: verdict.outcome.as_str(), reason: verdict.reason.0 }
    }
}

impl SetSeen {
    /// An answer came, after so many seconds.
    pub(crate) fn answered(&mut self, now: Timestamp, verdict: Verdict, seconds: f64) {
        let is_good = matches!(verdict.outcome, Outcome::Accepted | Outcome::DropSubscription(_));
        self.answers.time(now, seconds, if is_good { Went::Well } else { Went::Badly });
        let last = LastOutcome::of(verdict);
        *self.outcomes.entry((last.outcome, last.reason)).or_default() += 1;
        if !is_good {
            self.last_trouble = Some((now, last));
        }
    }
}
