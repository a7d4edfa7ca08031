//! `reveille migrate`: brings the stores to this version's schema.

use std::fmt::Display;

use anyhow::Context as _;
use reveille_push::StoreUrl;
use reveille_service::config::Document;
use reveille_sessions::{SessionsConfig, SessionsStoreUrl};
use reveille_store_mariadb::MariaDbStore;
use reveille_store_sqlite::{SqliteSessions, SqliteStore};

use super::load::{push_config, whole};
use super::reference::kask;
use super::sessions::settings;
use super::store::mariadb;
use crate::cli::SessionsArguments;
use crate::failure::Failure;
use crate::say;

pub(crate) async fn run(arguments: &SessionsArguments) -> Result<(), Failure> {
    match (&arguments.config, &arguments.kask_config) {
        (Some(path), _) => {
            let document = Document::load(path)?;
            if document.has("push") || !document.has("sessions") {
                push(&push_config(path)?.store).await?;
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

async fn push(store: &StoreUrl) -> Result<(), Failure> {
    match store {
        StoreUrl::Sqlite { database, key_file } => {
            tell(&database.display(), SqliteStore::migrate(database, key_file))
        }
        StoreUrl::MariaDb(config) => {
            let migrated = MariaDbStore::migrate(&mariadb(config)).await;
            tell(&"the database", migrated)
        }
    }
}

async fn sessions(store: &SessionsStoreUrl) -> Result<(), Failure> {
    match store {
        SessionsStoreUrl::Sqlite(database) => {
            tell(&database.display(), SqliteSessions::migrate(database))
        }
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

/// Says from which schema a store went to which.
fn tell<V, E>(path: &dyn Display, migrated: Result<(V, V), E>) -> Result<(), Failure>
where
    V: Display + PartialEq,
    E: std::error::Error + Send + Sync + 'static,
{
    let (had, has) = migrated.with_context(|| format!("cannot migrate {path}"))?;
    if had == has {
        say::line(&format!("{path} has schema {has}, the latest"));
    } else {
        say::line(&format!("{path} went from schema {had} to {has}"));
    }
    Ok(())
}
