//! A provider that answers as told.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use reveille_model::{Outcome, Topic, Verdict};
use reveille_providers::{Push, Sender};
use tokio::sync::watch;

/// Remembers what was sent; answers what the test queued, else success.
#[derive(Debug)]
pub struct StubSender {
    sent: watch::Sender<Vec<Push>>,
    verdicts: Mutex<VecDeque<Outcome>>,
}

impl Default for StubSender {
    fn default() -> Self {
        Self { sent: watch::Sender::new(Vec::new()), verdicts: Mutex::default() }
    }
}

impl StubSender {
    /// Queues answers for the next pushes.
    pub fn answer(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.verdicts().extend(outcomes);
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
        let outcome = self.verdicts().pop_front().unwrap_or(Outcome::Accepted);
        self.sent.send_modify(|sent| sent.push(push.clone()));
        Verdict::new(outcome, "stub")
    }

    fn scope(&self, push: &Push) -> String {
        push.topic.as_ref().map_or("", Topic::as_str).to_owned()
    }

    async fn check(&self, _topic: Option<&Topic>) -> Result<(), String> {
        Ok(())
    }
}
