//! Starting, stopping, and noticing that something ended by itself.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use reveille_model::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The life of one process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: TaskTracker,
    failed: Arc<OnceLock<&'static str>>,
}

/// How a process ended that did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// A background task ended without being asked.
    #[error("the task `{0}` ended unexpectedly; see the log lines before this one")]
    Unasked(&'static str),
    /// Work was still under way when the time for stopping was over.
    #[error(
        "not everything could be finished in time; whatever was answered is kept, and what a push server had in flight is sent again after the next start"
    )]
    TimedOut,
}

impl Lifecycle {
    /// Runs a task that lasts as long as the process. If it ends before a stop was asked for, the process stops.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, failed) = (self.stop.clone(), Arc::clone(&self.failed));
        // Watches the task from outside, so that a panic in it is noticed too.
        let watched = self.tasks.spawn(task);
        self.tasks.spawn(async move {
            let ended = watched.await;
            if !stop.is_cancelled() {
                tracing::error!(
                    task = name,
                    panicked = ended.is_err(),
                    "a background task ended unexpectedly"
                );
                failed.get_or_init(|| name);
                stop.cancel();
            }
        });
    }

    /// Runs a task that ends by itself. A stop waits for it.
    pub fn spawn_brief(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Asks everything to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether a stop was asked for.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Returns once a stop is asked for.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Waits for a stop, and then at most `grace` for everything to end.
    pub async fn finish(&self, grace: Duration) -> Result<(), Ended> {
        self.stopping().await;
        self.tasks.close();
        let timed_out = tokio::time::timeout(grace.to_std(), self.tasks.wait()).await.is_err();
        match self.failed.get() {
            Some(name) => Err(Ended::Unasked(name)),
            None if timed_out => Err(Ended::TimedOut),
            None => Ok(()),
        }
    }

    /// Stops at SIGTERM or SIGINT.
    pub fn stop_on_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Asks for credentials and certificates to be read again (`reload.rs`). Where there are none it must not end the process.
        let mut hangup = signal(SignalKind::hangup())?;
        let lifecycle = self.clone();
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    _ = hangup.recv() => {}
                    () = lifecycle.stopping() => break,
                }
            }
            if !lifecycle.is_stopping() {
                tracing::info!("stopping");
                lifecycle.stop();
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, Lifecycle};
    use reveille_model::Duration;

    const GRACE: Duration = Duration::from_s(5);

    #[tokio::test]
    async fn a_stop_waits_for_what_is_under_way() {
        let lifecycle = Lifecycle::default();
        let (tell, told) = tokio::sync::oneshot::channel();
        let inner = lifecycle.clone();
        lifecycle.spawn("worker", async move {
            inner.stopping().await;
            tell.send("finished").unwrap();
        });
        lifecycle.stop();
        assert_eq!(lifecycle.finish(GRACE).await, Ok(()));
        assert_eq!(told.await, Ok("finished"));
    }

    #[tokio::test]
    async fn a_task_that_ends_or_panics_stops_the_process() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn("short", async {});
        assert_eq!(lifecycle.finish(GRACE).await, Err(Ended::Unasked("short")));
        let lifecycle = Lifecycle::default();
        lifecycle.spawn("bad", async { panic!("planted") });
        assert_eq!(lifecycle.finish(GRACE).await, Err(Ended::Unasked("bad")));
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_ever() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn_brief(std::future::pending());
        lifecycle.stop();
        assert_eq!(lifecycle.finish(Duration::from_ms(1)).await, Err(Ended::TimedOut));
    }
}
