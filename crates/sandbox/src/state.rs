//! What all ports of a sandbox share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reveille_model::Timestamp;
use reveille_service::clock::{Clock, SystemClock};
use tokio::sync::{broadcast, watch};

use crate::fault::{Fault, Faults};
use crate::oauth::Account;
use crate::received::{Log, Received};

/// How many pushes a watcher may lag behind before it misses some.
const WATCHED_MAX: usize = 1_024;

#[derive(Debug)]
pub(crate) struct State {
    log: Mutex<Log>,
    faults: Mutex<Faults>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) token_life_s: u32,
    pub(crate) access_tokens: Mutex<BTreeMap<String, Timestamp>>,
    pub(crate) connections: Mutex<u64>,
    /// How many arrived; for those who wait for a number.
    total: watch::Sender<u64>,
    watchers: broadcast::Sender<Received>,
    clock: SystemClock,
}

impl State {
    pub(crate) fn new(accounts: Vec<Account>, received_max: usize, token_life_s: u32) -> Arc<Self> {
        Arc::new(Self {
            log: Mutex::new(Log::new(received_max)),
            faults: Mutex::default(),
            accounts,
            token_life_s,
            access_tokens: Mutex::default(),
            connections: Mutex::default(),
            total: watch::Sender::new(0),
            watchers: broadcast::Sender::new(WATCHED_MAX),
            clock: SystemClock,
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn wait(&self, ms: u32) {
        self.clock.sleep_until(self.now().plus(reveille_model::Duration::from_ms(ms.into()))).await;
    }

    pub(crate) fn add(&self, push: Received) {
        // Nobody watches: fine.
        drop(self.watchers.send(push.clone()));
        let total = {
            let mut log = self.log();
            log.add(push);
            log.total()
        };
        self.total.send_replace(total);
    }

    pub(crate) fn watch(&self) -> broadcast::Receiver<Received> {
        self.watchers.subscribe()
    }

    /// Returns once so many have arrived.
    pub(crate) async fn wait_for_total(&self, total: u64) {
        // The sender lives as long as `self`.
        drop(self.total.subscribe().wait_for(|now| *now >= total).await);
    }

    pub(crate) fn clear_log(&self) {
        self.log().clear();
        self.total.send_replace(0);
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take_fault(&self, provider: &str, token: &str) -> Option<Fault> {
        self.faults().take(provider, token)
    }

    pub(crate) fn count_connection(&self) {
        *self.connections.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}
