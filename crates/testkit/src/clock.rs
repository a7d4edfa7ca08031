//! A clock that stands still until a test moves it.

use async_trait::async_trait;
use reveille_model::{Duration, Timestamp};
use reveille_service::clock::Clock;
use tokio::sync::watch;

/// Shows what the test says.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<Timestamp>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(watch::Sender::new(start))
    }

    /// Moves time on and wakes who waited for it.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = now.plus(by));
    }

    /// Sets the time, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.0.send_replace(now);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        // The sender lives as long as `self`.
        drop(self.0.subscribe().wait_for(|now| *now >= moment).await);
    }
}
