//! `reveille config print`: what is set, by the file and the environment.

use std::path::Path;

use reveille_service::config::Document;
use serde_json::{Map, Value};

use super::load::whole;
use crate::cli::ConfigCommand;
use crate::failure::Failure;
use crate::say;

pub(crate) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Print { config, json } = command;
    print(config, *json)
}

fn print(path: &Path, json: bool) -> Result<(), Failure> {
    let document = Document::load(path)?;
    // Sections that do not exist, and variables that set nothing.
    whole(Some(()), &document)?;
    let shown = document.shown();
    if json {
        let members = shown.into_iter().map(|(path, value)| (path, Value::String(value)));
        say::line(&Value::Object(members.collect::<Map<_, _>>()).to_string());
    } else {
        for (path, value) in shown {
            say::line(&format!("{path} = {value}"));
        }
    }
    Ok(())
}
