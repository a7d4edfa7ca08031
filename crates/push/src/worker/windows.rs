//! Releases windows: sleeps until one ends, closes it, musters cohorts, expands what was gathered, and tells the delivery workers.

use std::sync::Arc;

use metrics::{counter, gauge, histogram};
use reveille_mixer::{Schedule, Window, order};
use reveille_model::{Duration, Rng, Shuffle, Timestamp};
use reveille_service::clock::{Clock, Stopwatch};
use reveille_service::lifecycle::Lifecycle;
use reveille_service::traces::{Span, Traces};
use reveille_store::{Expanded, Next, Store, StoreError};
use tokio::sync::watch;

use super::muster::Muster;
use super::privacy::Privacy;
use crate::board::{BatchSeen, Board};
use crate::metrics::{BATCH, RELEASE_DURATION, WINDOWS, float};

/// How long to wait after the store failed.
const STORE_RETRY: Duration = Duration::from_s(1);
/// How many of a batch's sort keys are looked at for an order that tells something.
const KEYS_MAX: usize = 100_000;

/// The task that releases windows.
pub(crate) struct Windows {
    /// Where what was gathered is.
    pub(crate) store: Arc<dyn Store>,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// When windows end.
    pub(crate) schedule: Schedule,
    /// Draws the order of batches, who is in a cohort with whom, and padding.
    pub(crate) rng: Rng,
    /// Told the end of each released window.
    pub(crate) released: watch::Sender<Timestamp>,
    /// Where users are woken in cohorts.
    pub(crate) muster: Option<Muster>,
    /// What an observer can tell.
    pub(crate) privacy: Privacy,
    pub(crate) board: Arc<Board>,
    /// Of releases.
    pub(crate) traces: Traces,
}

/// A batch on its way out.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Wake-ups it is made of, padding and all.
    pub(super) wakeups: u64,
    /// Targets that joined one that was waiting.
    collapsed: u64,
    /// Its sort keys, in the order in which its targets came; not all of a large batch.
    pub(super) keys: Vec<i64>,
    /// How many users live in each of the cohorts it is made of, where it is we who have mustered them.
    pub(super) live: Vec<usize>,
}

impl Batch {
    fn add(&mut self, expanded: &Expanded, shuffle: Shuffle) {
        let targets = usize::try_from(expanded.wakeups + expanded.collapsed).unwrap_or(KEYS_MAX);
        let room = KEYS_MAX.saturating_sub(self.keys.len());
        self.keys.extend(shuffle.keys().take(targets.min(room)));
        self.wakeups += expanded.wakeups;
        self.collapsed += expanded.collapsed;
    }
}

/// What a trace says of a release: nothing that depends on whom it is for.
#[derive(Debug, Default)]
struct Told {
    transactions: u64,
    wakeups: u64,
    collapsed: u64,
}

impl Told {
    fn add(&mut self, expanded: &Expanded) {
        self.transactions += 1;
        self.wakeups += expanded.wakeups;
        self.collapsed += expanded.collapsed;
    }
}

impl Windows {
    /// Runs until the lifecycle stops. Begins with what ended while nobody looked.
    pub(crate) async fn run(mut self, lifecycle: Lifecycle) {
        let mut until = self.schedule.window(self.clock.now()).start;
        while !lifecycle.is_stopping() {
            if let Err(error) = self.release(until, &lifecycle).await {
                tracing::error!(%error, "a window cannot be released; trying again");
                self.wait(self.clock.now().plus(STORE_RETRY), &lifecycle).await;
                continue;
            }
            let next = self.schedule.window(self.clock.now().max(until)).end;
            self.wait(next, &lifecycle).await;
            // Whatever ended meanwhile leaves as one batch.
            until = self.schedule.window(self.clock.now()).start.max(until);
        }
    }

    async fn wait(&self, moment: Timestamp, lifecycle: &Lifecycle) {
        tokio::select! {
            () = self.clock.sleep_until(moment) => {}
            () = lifecycle.stopping() => {}
        }
    }

    /// Closes every window that ended at or before `until`, says which cohorts leave if it is to, and expands what there is, in bounded
    /// transactions between which intake goes on. Tells the delivery workers as soon as it may leave.
    async fn release(&mut self, until: Timestamp, lifecycle: &Lifecycle) -> Result<(), StoreError> {
        let mut span = self.traces.begin("window.release");
        let watch = Stopwatch::start();
        let released = self.release_in((&mut span, watch), until, lifecycle).await;
        if released.is_err() {
            span.failed();
        }
        released
    }

    async fn release_in(
        &mut self,
        (span, watch): (&mut Span, Stopwatch),
        until: Timestamp,
        lifecycle: &Lifecycle,
    ) -> Result<(), StoreError> {
        span.child("close").around(self.store.close(until)).await?;
        let mut batch = Batch::default();
        let mut expanding = span.child("expand");
        let mut told = Told::default();
        while !lifecycle.is_stopping() {
            let shuffle = order(&mut self.rng);
            let expanded = self.store.expand(until, shuffle).await?;
            batch.add(&expanded, shuffle);
            told.add(&expanded);
            if expanded.next == Next::Muster {
                let mustering = self.muster(until, &mut batch, lifecycle);
                span.child("muster").around(mustering).await?;
            }
            if expanded.released {
                self.released.send_replace(until);
                counter!(WINDOWS).increment(1);
                gauge!(BATCH).set(float(batch.wakeups));
                crate::compat::flushed(float(batch.wakeups));
                histogram!(RELEASE_DURATION).record(watch.seconds());
                let Batch { wakeups, collapsed, .. } = batch;
                if wakeups > 0 {
                    tracing::info!(wakeups, collapsed, "a window was released");
                }
                self.board.released(BatchSeen {
                    at: until,
                    wakeups,
                    collapsed,
                    cohorts: batch.live.len(),
                });
                self.privacy.released(&batch);
                // Whatever comes now is another one: a release that goes on with an earlier one's comes to two.
                batch = Batch::default();
            }
            if expanded.is_done() {
                if let Some(muster) = &mut self.muster
                    && !muster.released(until)
                {
                    self.privacy.others_mustered();
                }
                break;
            }
        }
        expanding.count("reveille.transactions", told.transactions);
        drop(expanding);
        span.count("reveille.wakeups", told.wakeups);
        span.count("reveille.collapsed", told.collapsed);
        match self.store.census(self.clock.now()).await {
            Ok(census) => self.privacy.counted(&census),
            Err(error) => tracing::error!(%error, "cohorts cannot be counted"),
        }
        Ok(())
    }

    /// Lets those who wait become cohorts, and decides which cohorts leave.
    async fn muster(
        &mut self,
        until: Timestamp,
        batch: &mut Batch,
        lifecycle: &Lifecycle,
    ) -> Result<(), StoreError> {
        let Some(muster) = &mut self.muster else {
            return self.store.mustered(until).await.map(drop);
        };
        muster.form(&mut self.rng, lifecycle).await?;
        if lifecycle.is_stopping() {
            return Ok(());
        }
        // As if it and the next one were the longest: nobody who waits is woken after their deadline.
        let window = Window { start: until.minus(self.schedule.longest()), end: until };
        let mustered = muster.lead((until, window), &mut self.rng).await?;
        if let Some(mustered) = mustered
            && self.store.mustered(until).await?
        {
            muster.note(until);
            self.privacy.mustered(until, &mustered);
            batch.live = mustered.live;
        }
        // Else another node has taken over, and measures it.
        Ok(())
    }
}
