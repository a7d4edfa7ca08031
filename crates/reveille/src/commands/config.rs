//! `reveille config print`: what is set, by the file and the environment.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use reveille_service::config::Document;
use serde_json::{Map, Value};

use super::load::whole;
use crate::failure::Failure;
use crate::say;

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Shows every value that is set, one a line. Secrets stand in files that are named; what looks like one here is masked
    Print {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Print { config, json } = command;
    let shown = read(config)?;
    if *json {
        let members = shown.into_iter().map(|(path, value)| (path, Value::String(value)));
        say::line(&Value::Object(members.collect::<Map<_, _>>()).to_string());
    } else {
        for (path, value) in shown {
            say::line(&format!("{path} = {value}"));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let document = Document::load(path)?;
    // Sections that do not exist, and variables that set nothing.
    whole(Some(()), &document)?;
    Ok(document.shown())
}
