//! `reveille migrate`: brings the store to this version's schema.

use anyhow::Context as _;
use reveille_push::StoreUrl;
use reveille_store_sqlite::SqliteStore;

use super::load::push_config;
use crate::cli::ConfigArguments;
use crate::failure::Failure;
use crate::say;

pub(crate) fn run(arguments: &ConfigArguments) -> Result<(), Failure> {
    let StoreUrl::Sqlite(path) = push_config(&arguments.config)?.store;
    let migrated = SqliteStore::migrate(&path);
    let (had, has) = migrated.with_context(|| format!("cannot migrate {}", path.display()))?;
    if had == has {
        say::line(&format!("{} has schema {has}, the latest", path.display()));
    } else {
        say::line(&format!("{} went from schema {had} to {has}", path.display()));
    }
    Ok(())
}
