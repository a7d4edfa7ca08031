//! Reading the configuration and opening what it names.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use reveille_push::{PushConfig, StoreUrl};
use reveille_sandbox::SandboxConfig;
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_service::config::Document;
use reveille_store_sqlite::SqliteStore;

use crate::failure::Failure;

/// The push server's configuration, or every problem with it.
pub(crate) fn push_config(path: &Path) -> Result<PushConfig, Failure> {
    let document = Document::load(path)?;
    whole(PushConfig::read(&document), &document)
}

/// The sandbox's configuration, or every problem with it.
pub(crate) fn sandbox_config(path: &Path) -> Result<SandboxConfig, Failure> {
    let document = Document::load(path)?;
    whole(SandboxConfig::read(&document), &document)
}

/// What was read, if nothing is wrong with it.
pub(crate) fn whole<T>(read: Option<T>, document: &Document) -> Result<T, Failure> {
    match (read, document.problems().take()) {
        (Some(config), problems) if problems.is_empty() => Ok(config),
        (_, problems) => Err(Failure::Config(problems)),
    }
}

/// Opens the store a configuration names.
pub(crate) fn open_store(store: &StoreUrl) -> Result<Arc<SqliteStore>, Failure> {
    let StoreUrl::Sqlite { database, key_file } = store;
    let opened = SqliteStore::open_with_key(database, key_file, SystemClock.now());
    Ok(Arc::new(opened.with_context(|| format!("cannot open the store {}", database.display()))?))
}

/// Waits until a store is closed, so that another process may open it.
pub(crate) fn close_store(store: Arc<SqliteStore>) {
    match Arc::try_unwrap(store) {
        Ok(store) => store.close(),
        Err(_) => {
            tracing::warn!("the store is still in use; it is closed by the end of the process");
        }
    }
}
