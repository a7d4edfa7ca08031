//! Where an operator has halted delivery: kept in the store, shown in a metric, told to the workers. An operator says it to one node; the others find it
//! in the store.

use std::sync::Arc;

use metrics::gauge;
use reveille_model::{Duration, Provider, Providers};
use reveille_service::clock::Clock;
use reveille_service::lifecycle::Lifecycle;
use reveille_store::{Halt, Store, StoreError};
use tokio::sync::{Mutex, oneshot, watch};

use crate::metrics::HALTED;

/// The providers that nothing is sent to. Clones are of the same.
#[derive(Clone)]
pub(crate) struct Halting {
    halted: watch::Sender<Providers>,
    /// Two changes at once go one after the other.
    changing: Arc<Mutex<()>>,
    store: Arc<dyn Store>,
    lifecycle: Lifecycle,
}

/// How soon a node does what an operator has said to another.
const LOOK_EVERY: Duration = Duration::from_s(2);

impl std::fmt::Debug for Halting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Halting").field("halted", &self.halted).finish_non_exhaustive()
    }
}

impl Halting {
    /// As the store has it, from now on.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        lifecycle: &Lifecycle,
    ) -> Result<Self, StoreError> {
        let halted = store.halted().await?;
        if !halted.is_empty() {
            tracing::warn!(
                ?halted,
                "an operator has paused delivery at these providers; `reveille resume` goes on"
            );
        }
        show(halted);
        let (halted, changing) = (watch::Sender::new(halted), Arc::default());
        let halting = Self { halted, changing, store, lifecycle: lifecycle.clone() };
        halting.keep_up(Arc::clone(clock));
        Ok(halting)
    }

    /// Where, now.
    pub(crate) fn halted(&self) -> Providers {
        *self.halted.borrow()
    }

    /// For those who have to know when it changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Providers> {
        self.halted.subscribe()
    }

    /// Keeps up with what is said to other nodes, until the server stops.
    fn keep_up(&self, clock: Arc<dyn Clock>) {
        let halting = self.clone();
        self.lifecycle.spawn("halting", async move {
            loop {
                tokio::select! {
                    () = clock.sleep(LOOK_EVERY) => {}
                    () = halting.lifecycle.stopping() => return,
                }
                let _changing = halting.changing.lock().await;
                // Where the store cannot be asked nothing is sent anyhow.
                if let Ok(halted) = halting.store.halted().await
                    && halted != halting.halted()
                {
                    halting.take(halted);
                }
            }
        });
    }

    /// Halts delivery, or lets it go on. Whoever asks may hang up: what is on disk holds here too.
    pub(crate) async fn change(&self, change: Halt) -> Result<Providers, StoreError> {
        let (tell, told) = oneshot::channel();
        let halting = self.clone();
        self.lifecycle.spawn_brief(async move {
            // Nobody may be listening any more.
            drop(tell.send(halting.write(change).await));
        });
        told.await.map_err(|_| StoreError::Busy)?
    }

    async fn write(&self, change: Halt) -> Result<Providers, StoreError> {
        let _changing = self.changing.lock().await;
        let halted = self.store.halt(change).await?;
        self.take(halted);
        Ok(halted)
    }

    /// It is so from now on.
    fn take(&self, halted: Providers) {
        self.halted.send_replace(halted);
        show(halted);
        if halted.is_empty() {
            tracing::warn!("delivery goes on everywhere, by an operator's word");
        } else {
            tracing::warn!(?halted, "delivery is paused at these providers, by an operator's word");
        }
    }
}

fn show(halted: Providers) {
    for provider in Provider::ALL {
        let is_halted = f64::from(u8::from(halted.contains(provider)));
        gauge!(HALTED, "provider" => provider.as_str()).set(is_halted);
    }
}
