//! `cargo xtask tidy`: what no compiler checks.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::process::{output, root, say};

/// Longest source file, in lines.
const LINES_MAX: usize = 500;

/// Which of our crates each crate may use (ARCHITECTURE.md, code map). Development dependencies are not looked at.
const LAYERS: [(&str, &[&str]); 17] = [
    ("model", &[]),
    ("mixer", &["model"]),
    ("store", &["model"]),
    ("vault", &[]),
    ("store-sqlite", &["model", "store", "vault"]),
    ("store-cassandra", &["model", "store"]),
    ("store-mariadb", &["model", "store", "vault"]),
    ("providers", &["model"]),
    ("service", &["model"]),
    ("push", &["model", "mixer", "store", "providers", "service"]),
    ("sessions", &["model", "store", "service"]),
    ("sandbox", &["model", "service"]),
    ("lab", &["model", "mixer"]),
    ("echo", &[]),
    (
        "reveille",
        &[
            "model",
            "mixer",
            "store",
            "store-sqlite",
            "store-cassandra",
            "store-mariadb",
            "providers",
            "service",
            "push",
            "sessions",
            "sandbox",
            "lab",
            "echo",
        ],
    ),
    ("testkit", &["model", "mixer", "store", "providers", "service", "push", "sandbox"]),
    ("xtask", &[]),
];

/// Words that must not be left in the project, and why. Written in pieces, so that this file does not hold them.
const WORDS: [(&str, &str, &str); 7] = [
    ("TO", "DO", "an open end is an issue"),
    ("FIX", "ME", "an open end is an issue"),
    ("todo", "!(", "an open end is an issue"),
    ("#[ign", "ore", "a test runs or does not exist"),
    ("thread::sl", "eep(", "wait for an event"),
    ("/wo", "rk/", "a path of somebody's machine"),
    ("/ro", "ot/", "a path of somebody's machine"),
];

pub(crate) fn run() -> Result<(), String> {
    let mut problems = Vec::new();
    let files = output(
        Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(root()),
    )?;
    for file in files.lines().filter(|file| *file != "Cargo.lock") {
        // What is not text, or was deleted just now, is not for this.
        if let Ok(text) = std::fs::read_to_string(root().join(file)) {
            check_file(file, &text, &mut problems);
        }
    }
    check_layers(&mut problems)?;
    check_reasons(&mut problems)?;
    if problems.is_empty() {
        say("tidy");
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

fn check_file(file: &str, text: &str, problems: &mut Vec<String>) {
    let is_rust = Path::new(file).extension().is_some_and(|extension| extension == "rs");
    let lines = text.lines().count();
    if is_rust && lines > LINES_MAX {
        problems.push(format!("{file}: {lines} lines; up to {LINES_MAX} are readable, split it"));
    }
    if is_rust && !text.starts_with("//!") {
        problems.push(format!("{file}: it does not say what it is for (`//!` on its first line)"));
    }
    if is_rust && file.ends_with("/mod.rs") && text.lines().any(|line| line.starts_with("impl ")) {
        problems.push(format!("{file}: a mod.rs holds documentation, modules and re-exports"));
    }
    for (start, end, why) in WORDS {
        let word = format!("{start}{end}");
        for (index, line) in text.lines().enumerate() {
            if line.contains(&word) {
                problems.push(format!("{file}:{}: `{word}`: {why}", index + 1));
            }
        }
    }
}

/// The manifests against the layers.
fn check_layers(problems: &mut Vec<String>) -> Result<(), String> {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.into_iter().collect();
    let folders = std::fs::read_dir(root().join("crates")).map_err(|error| error.to_string())?;
    for folder in folders.flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        let Some(allowed) = layers.get(name.as_str()) else {
            problems.push(format!(
                "crates/{name}: not in the code map; add it to ARCHITECTURE.md and to xtask"
            ));
            continue;
        };
        let manifest = std::fs::read_to_string(folder.path().join("Cargo.toml"))
            .map_err(|error| error.to_string())?;
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for line in dependencies.lines() {
            let used =
                line.strip_prefix("reveille-").and_then(|rest| rest.split(['.', ' ']).next());
            if let Some(used) = used
                && !allowed.contains(&used)
            {
                problems
                    .push(format!("crates/{name}: may not use {used} (ARCHITECTURE.md, code map)"));
            }
        }
    }
    Ok(())
}

/// Every dependency of the workspace has a reason in its manifest line.
fn check_reasons(problems: &mut Vec<String>) -> Result<(), String> {
    let manifest =
        std::fs::read_to_string(root().join("Cargo.toml")).map_err(|error| error.to_string())?;
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    for line in section.lines().take_while(|line| !line.starts_with('[')) {
        let is_dependency =
            line.contains('=') && !line.starts_with('#') && !line.starts_with("reveille-");
        if is_dependency && !line.contains(" # ") {
            problems.push(format!("Cargo.toml: no reason beside `{line}`"));
        }
    }
    Ok(())
}
