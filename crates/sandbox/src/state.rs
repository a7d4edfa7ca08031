//! What all ports of a sandbox share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reveille_model::{Provider, Timestamp};
use reveille_service::clock::{Clock, SystemClock};
use tokio::sync::{broadcast, watch};

use crate::apns::ProviderTokens;
use crate::config::Settings;
use crate::fault::Faults;
use crate::oauth::Account;
use crate::received::{Log, Received, Totals};
use crate::webpush::{Senders, Subscriptions};

/// How many pushes a watcher may lag behind before it misses some.
const WATCHED_MAX: usize = 1_024;

#[derive(Debug)]
pub(crate) struct State {
    log: Mutex<Log>,
    faults: Mutex<Faults>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) token_life_s: u32,
    pub(crate) access_tokens: Mutex<BTreeMap<String, Timestamp>>,
    pub(crate) provider_tokens: ProviderTokens,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) senders: Senders,
    apns: Port,
    fcm: Port,
    webpush: Port,
    /// How many arrived; for those who wait for a number.
    totals: watch::Sender<Totals>,
    watchers: broadcast::Sender<Received>,
    clock: SystemClock,
}

/// One look-alike's port.
#[derive(Debug)]
pub(crate) struct Port {
    /// How many streams a connection may have open. Connections follow it.
    pub(crate) streams_max: watch::Sender<u32>,
    connections: AtomicU64,
    violations: AtomicU64,
}

impl Port {
    fn new(streams_max: u32) -> Self {
        Self {
            streams_max: watch::Sender::new(streams_max),
            connections: AtomicU64::new(0),
            violations: AtomicU64::new(0),
        }
    }

    pub(crate) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream that its client knew to be one too many.
    pub(crate) fn count_violation(&self) {
        self.violations.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn violations(&self) -> u64 {
        self.violations.load(Ordering::Relaxed)
    }
}

impl State {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let update_min_s = settings.apns_token_update_min_s;
        Arc::new(Self {
            log: Mutex::new(Log::new(settings.received_max)),
            faults: Mutex::default(),
            accounts: settings.accounts,
            token_life_s: settings.token_life_s,
            access_tokens: Mutex::default(),
            provider_tokens: ProviderTokens::new(settings.apns_apps, update_min_s),
            subscriptions: Subscriptions::new(settings.webpush_secret, settings.webpush_origin),
            senders: Senders::default(),
            apns: Port::new(settings.apns_streams_max),
            fcm: Port::new(settings.streams_max),
            webpush: Port::new(settings.streams_max),
            totals: watch::Sender::new(Totals::default()),
            watchers: broadcast::Sender::new(WATCHED_MAX),
            clock: SystemClock,
        })
    }

    pub(crate) fn port(&self, provider: Provider) -> &Port {
        match provider {
            Provider::Apns => &self.apns,
            Provider::Fcm => &self.fcm,
            Provider::WebPush => &self.webpush,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn wait(&self, ms: u32) {
        self.clock.sleep(reveille_model::Duration::from_ms(ms.into())).await;
    }

    pub(crate) fn add(&self, provider: Provider, push: Received) {
        if self.watchers.receiver_count() > 0 {
            // They may all have gone meanwhile: fine.
            drop(self.watchers.send(push.clone()));
        }
        let mut log = self.log();
        log.add(provider, push);
        // Under the lock, so that numbers never go back.
        self.totals.send_replace(log.totals());
    }

    pub(crate) fn watch(&self) -> broadcast::Receiver<Received> {
        self.watchers.subscribe()
    }

    /// Returns once so many have arrived at one provider, or at all of them together.
    pub(crate) async fn wait_for_total(&self, provider: Option<Provider>, total: u64) {
        // The sender lives as long as `self`.
        drop(self.totals.subscribe().wait_for(|now| now.of(provider) >= total).await);
    }

    pub(crate) fn clear_log(&self) {
        let mut log = self.log();
        log.clear();
        self.totals.send_replace(log.totals());
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
