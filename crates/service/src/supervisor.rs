//! What a process tells whoever has started it: that it can be used, that it lives, that it stops (`sd_notify(3)`).
//!
//! Under systemd with `Type=notify` a start counts once the process listens, and with `WatchdogSec` one that hangs is started again. Where nobody
//! asked to be told (`NOTIFY_SOCKET`, `WATCHDOG_USEC`) nothing happens.

use sd_notify::NotifyState;

use crate::lifecycle::Lifecycle;

/// It can be used from now on. Says so, and goes on saying that it lives until it stops. What is said is said by a task among the others: where those get
/// no turn it gets none either.
pub fn started(lifecycle: &Lifecycle) {
    tell(&[NotifyState::Ready]);
    let stopping = lifecycle.clone();
    lifecycle.spawn("supervisor", async move {
        // Twice as often as is asked for, as its manual wants.
        let every = sd_notify::watchdog_enabled().map(|within| within / 2);
        while !stopping.is_stopping() {
            let Some(every) = every else {
                stopping.stopping().await;
                break;
            };
            tell(&[NotifyState::Watchdog]);
            // By the machine's own time: where the clock is set back, whoever waits for this does not wait longer.
            drop(tokio::time::timeout(every, stopping.stopping()).await);
        }
        tell(&[NotifyState::Stopping]);
    });
}

/// Its files are read again, because somebody has asked for it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "whoever started this is not told of reading again"),
    }
}

/// They were read.
pub(crate) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "whoever started this cannot be told how it goes");
    }
}
