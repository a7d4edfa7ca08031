//! Where an operator has halted delivery: kept in the store, shown in a metric, told to the workers.

use std::sync::Arc;

use metrics::gauge;
use reveille_model::{Provider, Providers};
use reveille_service::lifecycle::Lifecycle;
use reveille_store::{Store, StoreError};
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

/// How some providers are changed by others.
type Change = fn(Providers, Providers) -> Providers;

impl std::fmt::Debug for Halting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Halting").field("halted", &self.halted).finish_non_exhaustive()
    }
}

impl Halting {
    /// As it was when the server stopped.
    pub(crate) async fn load(
        store: Arc<dyn Store>,
        lifecycle: Lifecycle,
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
        Ok(Self { halted, changing, store, lifecycle })
    }

    /// Where, now.
    pub(crate) fn halted(&self) -> Providers {
        *self.halted.borrow()
    }

    /// For those who have to know when it changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Providers> {
        self.halted.subscribe()
    }

    /// Halts delivery at some more, or lets it go on at some. Whoever asks may hang up: what is on disk holds here too.
    pub(crate) async fn change(
        &self,
        named: Providers,
        change: Change,
    ) -> Result<Providers, StoreError> {
        let (tell, told) = oneshot::channel();
        let halting = self.clone();
        self.lifecycle.spawn_brief(async move {
            // Nobody may be listening any more.
            drop(tell.send(halting.write(named, change).await));
        });
        told.await.map_err(|_| StoreError::Busy)?
    }

    async fn write(&self, named: Providers, change: Change) -> Result<Providers, StoreError> {
        let _changing = self.changing.lock().await;
        let halted = change(self.halted(), named);
        self.store.halt(halted).await?;
        self.halted.send_replace(halted);
        show(halted);
        if halted.is_empty() {
            tracing::warn!("delivery goes on everywhere, by an operator's word");
        } else {
            tracing::warn!(?halted, "delivery is paused at these providers, by an operator's word");
        }
        Ok(halted)
    }
}

fn show(halted: Providers) {
    for provider in Provider::ALL {
        let is_halted = f64::from(u8::from(halted.contains(provider)));
        gauge!(HALTED, "provider" => provider.as_str()).set(is_halted);
    }
}
