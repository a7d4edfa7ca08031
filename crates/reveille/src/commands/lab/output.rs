//! Where results go, and on how many threads they are made.

use std::num::NonZero;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::cli::RunArguments;
use crate::failure::Failure;
use crate::say;

/// Prints the text, and writes the JSON where it was asked for: to a file besides, or to standard output in place of the text.
pub(super) fn put(run: &RunArguments, text: &[String], json: &Value) -> Result<(), Failure> {
    let is_json = run.json.as_deref() == Some(Path::new("-"));
    if is_json {
        say::line(&json.to_string());
        return Ok(());
    }
    for line in text {
        say::line(line);
    }
    if let Some(file) = &run.json {
        write(file, format!("{json}\n").as_bytes())?;
    }
    Ok(())
}

/// Writes a file.
pub(super) fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = std::fs::write(file, bytes);
    written.with_context(|| format!("cannot write {}", file.display()))?;
    Ok(())
}

/// As many threads as were asked for, or as the machine has cores.
pub(super) fn threads(run: &RunArguments) -> usize {
    run.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}
