//! The store a configuration names, opened: the one place where the push server's drivers are told apart.

use std::sync::Arc;

use anyhow::Context as _;
use reveille_push::{MariaDbConfig, StoreUrl};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_service::lifecycle::Lifecycle;
use reveille_store::Store;
use reveille_store_mariadb::{MariaDbSettings, MariaDbStore};
use reveille_store_sqlite::SqliteStore;

use crate::failure::Failure;

/// An open store.
pub(crate) enum OpenStore {
    Sqlite(Arc<SqliteStore>),
    MariaDb(Arc<MariaDbStore>),
}

impl OpenStore {
    /// Opens the store a configuration names.
    pub(crate) async fn open(store: &StoreUrl) -> Result<Self, Failure> {
        match store {
            StoreUrl::Sqlite { database, key_file } => {
                let opened = SqliteStore::open_with_key(database, key_file, SystemClock.now());
                let what = || format!("cannot open the store {}", database.display());
                Ok(Self::Sqlite(Arc::new(opened.with_context(what)?)))
            }
            StoreUrl::MariaDb(config) => {
                let opened = MariaDbStore::open(mariadb(config), SystemClock.now()).await;
                Ok(Self::MariaDb(Arc::new(opened.context("cannot open the store on MariaDB")?)))
            }
        }
    }

    /// The store, whatever it is.
    pub(crate) fn shared(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::<SqliteStore>::clone(store),
            Self::MariaDb(store) => Arc::<MariaDbStore>::clone(store),
        }
    }

    /// Ends the process where the store cannot go on: a writer that has panicked stores nothing any more. A database elsewhere comes back.
    pub(crate) fn watch(&self, lifecycle: &Lifecycle) {
        if let Self::Sqlite(store) = self {
            let (ended, stopping) = (store.writer_ended(), lifecycle.clone());
            lifecycle.spawn("store", async move {
                tokio::select! {
                    () = ended => {}
                    () = stopping.stopping() => {}
                }
            });
        }
    }

    /// Waits until the store is closed: another process may open it then, or need not wait for what this one held.
    pub(crate) async fn close(self) {
        let in_use = match self {
            Self::Sqlite(store) => Arc::try_unwrap(store).map(SqliteStore::close).is_err(),
            Self::MariaDb(store) => match Arc::try_unwrap(store) {
                Ok(store) => {
                    store.close().await;
                    false
                }
                Err(_) => true,
            },
        };
        if in_use {
            tracing::warn!("the store is still in use; it is closed by the end of the process");
        }
    }
}

/// The driver's settings.
pub(crate) fn mariadb(config: &MariaDbConfig) -> MariaDbSettings {
    MariaDbSettings {
        url: config.url.clone(),
        replica_url: config.replica_url.clone(),
        password: config.password.clone(),
        key_file: config.key_file.clone(),
        ca_file: config.ca_file.clone(),
        connections_max: config.connections_max,
        connect_timeout: config.connect_timeout.to_std(),
        transaction_timeout: config.transaction_timeout.to_std(),
        clock_skew_max: Some(config.clock_skew_max.to_std()),
    }
}
