//! `reveille migrate`: brings the stores to this version's schema.

use std::path::Path;

use anyhow::Context as _;
use reveille_push::StoreUrl;
use reveille_service::config::Document;
use reveille_sessions::{SessionsConfig, SessionsStoreUrl};
use reveille_store_sqlite::{OpenError, SqliteSessions, SqliteStore};

use super::load::{push_config, whole};
use super::reference::kask;
use super::sessions::settings;
use crate::cli::SessionsArguments;
use crate::failure::Failure;
use crate::say;

pub(crate) async fn run(arguments: &SessionsArguments) -> Result<(), Failure> {
    match (&arguments.config, &arguments.kask_config) {
        (Some(path), _) => {
            let document = Document::load(path)?;
            if document.has("push") || !document.has("sessions") {
                let StoreUrl::Sqlite { database, key_file } = push_config(path)?.store;
                tell(&database, SqliteStore::migrate(&database, &key_file))?;
            }
            if document.has("sessions") {
                sessions(&whole(SessionsConfig::read(&document), &document)?.store).await?;
            }
            Ok(())
        }
        (None, Some(path)) => sessions(&kask::config(path)?.config.store).await,
        (None, None) => Ok(()),
    }
}

async fn sessions(store: &SessionsStoreUrl) -> Result<(), Failure> {
    match store {
        SessionsStoreUrl::Sqlite(database) => tell(database, SqliteSessions::migrate(database)),
        SessionsStoreUrl::Cassandra(config) => {
            let (keyspace, table) = (&config.keyspace, &config.table);
            let settings = settings(config);
            let migrated = reveille_store_cassandra::migrate(&settings, &config.replication);
            migrated.await.with_context(|| format!("cannot migrate {keyspace}"))?;
            say::line(&format!("{keyspace}.{table} and what belongs to it is there"));
            Ok(())
        }
    }
}

fn tell(database: &Path, migrated: Result<(usize, usize), OpenError>) -> Result<(), Failure> {
    let path = database.display();
    let (had, has) = migrated.with_context(|| format!("cannot migrate {path}"))?;
    if had == has {
        say::line(&format!("{path} has schema {has}, the latest"));
    } else {
        say::line(&format!("{path} went from schema {had} to {has}"));
    }
    Ok(())
}
