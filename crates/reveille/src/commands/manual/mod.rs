//! `reveille completions` and `reveille man`: what comes from the definition of the command line.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use crate::cli::Cli;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// For which shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Into this directory, which is made where it does not exist
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// Prints the completions of a shell.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "reveille", &mut script);
    match std::io::stdout().write_all(&script) {
        // A reader that has seen enough (`| head`) is no trouble.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed.context("cannot print the completions")?),
    }
}

/// Writes man pages: `reveille.1`, `reveille-push.1`, …
pub(crate) fn man(arguments: &ManArguments) -> Result<(), Failure> {
    let dir = &arguments.dir;
    let written =
        std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    written.with_context(|| format!("cannot write man pages into {}", dir.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests;
