//! `reveille migrate`: brings the store to this version's schema.

use anyhow::Context as _;
use reveille_push::StoreUrl;
use reveille_store_sqlite::SqliteStore;

use super::load::push_config;
use crate::cli::ConfigArguments;
use crate::failure::Failure;
use crate::say;

pub(crate) fn run(arguments: &ConfigArguments) -> Result<(), Failure> {
    let StoreUrl::Sqlite { database, key_file } = push_config(&arguments.config)?.store;
    let path = database.display();
    let migrated = SqliteStore::migrate(&database, &key_file);
    let (had, has) = migrated.with_context(|| format!("cannot migrate {path}"))?;
    if had == has {
        say::line(&format!("{path} has schema {has}, the latest"));
    } else {
        say::line(&format!("{path} went from schema {had} to {has}"));
    }
    Ok(())
}
