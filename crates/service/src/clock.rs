//! The only file that reads a clock.

use std::fmt;

use async_trait::async_trait;
use reveille_model::{Duration, Timestamp};

/// Tells the time and waits for it. Tests pass a clock of their own.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;

    /// Returns once the wall clock shows `moment` or later.
    async fn sleep_until(&self, moment: Timestamp);

    /// Returns after so long, whatever the wall clock shows then: where it is set back, whoever only wants to look again does not wait longer.
    async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now().plus(time)).await;
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The longest single wait. The wall clock is looked at again after it, so that a step of the clock delays nothing for longer.
const NAP_MAX: Duration = Duration::from_s(1);

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ms = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Timestamp::from_ms(ms)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the file that waits on the clock")]
    async fn sleep_until(&self, moment: Timestamp) {
        loop {
            let rest = moment.since(self.now());
            if rest == Duration::ZERO {
                return;
            }
            tokio::time::sleep(rest.min(NAP_MAX).to_std()).await;
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the file that waits on the clock")]
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time.to_std()).await;
    }
}

/// Now, on the clock of timers, which tests may hold.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub(crate) fn moment() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// The wall-clock time as it is, for spans.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub(crate) fn wall() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// Measures how long something took, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
