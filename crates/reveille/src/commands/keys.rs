//! `reveille keys rotate`: seals the store with a fresh key.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reveille_push::StoreUrl;
use reveille_store_sqlite::SqliteStore;

use super::load::push_config;
use crate::cli::ConfigArguments;
use crate::failure::Failure;
use crate::say;

#[derive(Debug, Args)]
pub(crate) struct KeysArguments {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Seals everything with a fresh key and forgets the one before. The push server must be stopped
    Rotate(ConfigArguments),
}

pub(crate) fn run(arguments: &KeysArguments) -> Result<(), Failure> {
    let KeysCommand::Rotate(arguments) = &arguments.command;
    let StoreUrl::Sqlite { database, key_file } = push_config(&arguments.config)?.store else {
        return Err(Failure::Usage(
            "the key of a database that several nodes use cannot be changed yet".to_owned(),
        ));
    };
    let (path, file) = (database.display(), key_file.display());
    let shows = std::io::stderr().is_terminal();
    let mut percent = 0;
    let mut progress = |done: u64, total: u64| {
        let now = done * 100 / total.max(1);
        if shows && now > percent {
            percent = now;
            say::progress(&format!("sealing {path}: {percent} % of {total}"));
        }
    };
    let changed = SqliteStore::change_key(&database, &key_file, &mut progress);
    if shows {
        say::progress("");
    }
    let (old, new) = changed.with_context(|| format!("cannot change the key of {path}"))?;
    say::line(&format!("{path} is sealed with the key {new}; {old} is no longer in {file}"));
    say::line("Copies of the database made before are still sealed with the old key.");
    Ok(())
}
