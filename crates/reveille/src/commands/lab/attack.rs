//! `reveille lab attack`: an observer of logs.

use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context as _;
use reveille_lab::{AttackSettings, LogError, read_events, read_owners, read_pushes};

use super::bar::Bar;
use super::output::{put, threads};
use super::{json, text};
use crate::cli::AttackArguments;
use crate::failure::Failure;

pub(crate) fn attack(arguments: &AttackArguments) -> Result<(), Failure> {
    let events = read(&arguments.events, read_events)?;
    let pushes = read(&arguments.pushes, read_pushes)?;
    let truth = read(&arguments.truth, read_owners)?;
    let settings = AttackSettings {
        max_delay: arguments.max_delay,
        together: arguments.together,
        events: arguments.after.clone(),
        accounts: Some(arguments.accounts),
        seed: arguments.run.seed,
        threads: threads(&arguments.run),
    };
    let bar = Bar::new("attacking");
    let show = |done, total| bar.show(done, total);
    let found = reveille_lab::attack(&events, &pushes, &truth, &settings, &show)?;
    drop(bar);
    put(&arguments.run, &text::attack(&found), &json::attack(&found))
}

/// A log of one kind.
type Read<T> = fn(&mut dyn BufRead, &str) -> Result<Vec<T>, LogError>;

fn read<T>(file: &Path, read: Read<T>) -> Result<Vec<T>, Failure> {
    let name = file.display().to_string();
    let open = std::fs::File::open(file).with_context(|| format!("cannot read {name}"))?;
    Ok(read(&mut BufReader::new(open), &name)?)
}
