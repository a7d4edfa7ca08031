//! A provider that answers as told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use reveille_model::{DryRun, Outcome, Reason, Topic, Verdict};
use reveille_providers::{Push, Sender};
use tokio::sync::watch;

/// Remembers what was sent; answers what the test queued, else success.
#[derive(Debug)]
pub struct StubSender {
    sent: watch::Sender<Vec<Push>>,
    verdicts: Mutex<VecDeque<Outcome>>,
    /// What pushes for a topic are answered, always.
    by_topic: Mutex<BTreeMap<String, Verdict>>,
    /// How often its credentials were changed, and whether it answers.
    renewals: watch::Sender<u64>,
    is_holding: watch::Sender<bool>,
}

impl Default for StubSender {
    fn default() -> Self {
        Self {
            sent: watch::Sender::new(Vec::new()),
            verdicts: Mutex::default(),
            by_topic: Mutex::default(),
            renewals: watch::Sender::new(0),
            is_holding: watch::Sender::new(false),
        }
    }
}

impl StubSender {
    /// Queues answers for the next pushes.
    pub fn answer(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.verdicts().extend(outcomes);
    }

    /// Answers every push for a topic so.
    pub fn answer_for(&self, topic: &str, verdict: Verdict) {
        let mut by_topic = self.by_topic.lock().unwrap_or_else(PoisonError::into_inner);
        by_topic.insert(topic.to_owned(), verdict);
    }

    /// Has other credentials from now on.
    pub fn renew(&self) {
        self.renewals.send_modify(|count| *count += 1);
    }

    /// Keeps its answers back.
    pub fn hold(&self) {
        self.is_holding.send_replace(true);
    }

    /// Lets them go.
    pub fn let_go(&self) {
        self.is_holding.send_replace(false);
    }

    /// Returns all pushes once there are at least `count`.
    ///
    /// # Panics
    /// If they do not come within a minute.
    pub async fn sent(&self, count: usize) -> Vec<Push> {
        let mut watch = self.sent.subscribe();
        let coming = watch.wait_for(|sent| sent.len() >= count);
        let sent = tokio::time::timeout(std::time::Duration::from_mins(1), coming).await;
        sent.expect("the pushes come in time").expect("the sender lives").clone()
    }

    /// How many pushes there were.
    pub fn count(&self) -> usize {
        self.sent.borrow().len()
    }

    fn verdicts(&self) -> MutexGuard<'_, VecDeque<Outcome>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sender for StubSender {
    async fn send(&self, push: &Push) -> Verdict {
        // As the senders of providers that have none.
        if push.dry_run == DryRun::Yes && push.topic.is_some() {
            return Verdict::of(Outcome::Accepted, Reason::DRY_RUN);
        }
        let topic = push.topic.as_ref().map_or("", Topic::as_str);
        let of_topic =
            self.by_topic.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied();
        let verdict = of_topic.unwrap_or_else(|| {
            let outcome = self.verdicts().pop_front().unwrap_or(Outcome::Accepted);
            Verdict::new(outcome, "stub")
        });
        self.sent.send_modify(|sent| sent.push(push.clone()));
        let mut holding = self.is_holding.subscribe();
        // It lives as long as whoever asks it.
        drop(holding.wait_for(|is_holding| !is_holding).await);
        verdict
    }

    fn scope(&self, push: &Push) -> String {
        push.topic.as_ref().map_or("", Topic::as_str).to_owned()
    }

    fn renewals(&self) -> watch::Receiver<u64> {
        self.renewals.subscribe()
    }

    async fn check(&self, _topic: Option<&Topic>) -> Result<(), String> {
        Ok(())
    }
}
