//! `docs/reference/cli.md`, from the definition of the command line.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command, CommandFactory as _};
use reveille_testkit::is_written;

use crate::cli::Cli;

const OPENING: &str = "# Commands

Written from the definition of the command line (`cargo xtask docs`), as `reveille --help`, the man pages (`reveille man DIR`) and the completions
(`reveille completions SHELL`) are. Exit codes: 0 done; 1 could not do its work; 2 wrong command line; 3 problems in the configuration; 4 a server refused.
";

#[test]
fn the_list_of_commands_is_what_the_code_takes() {
    let mut command = Cli::command();
    command.build();
    let mut text = OPENING.to_owned();
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        describe(inner, &mut text);
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    is_written(&page, &text);
}

/// A command, and those inside it.
fn describe(command: &Command, text: &mut String) {
    let mut command = command.clone();
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let name = command.get_bin_name().unwrap_or_default().to_owned();
    write!(text, "\n## `{name}`\n\n").unwrap();
    for about in [command.get_about(), command.get_after_help()].into_iter().flatten() {
        write!(text, "{about}.\n\n").unwrap();
    }
    writeln!(text, "```text\n{}\n```", lines(usage)).unwrap();
    let is_shown = |argument: &&Arg| !argument.is_hide_set() && argument.get_id() != "help";
    let arguments: Vec<&Arg> = command.get_arguments().filter(is_shown).collect();
    if !arguments.is_empty() {
        text.push_str("\n| argument | meaning | default |\n|---|---|---|\n");
    }
    for argument in arguments {
        let meaning = argument.get_long_help().or(argument.get_help());
        let meaning = meaning.map(ToString::to_string).unwrap_or_default();
        let usual: Vec<_> =
            argument.get_default_values().iter().map(|it| it.to_string_lossy()).collect();
        let usual = if is_flag(argument) { String::new() } else { usual.join(",") };
        let usual = if usual.is_empty() { usual } else { format!("`{usual}`") };
        let named = argument.to_string();
        writeln!(text, "| `{named}` | {}{} | {usual} |", cell(&meaning), environment(argument))
            .unwrap();
    }
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        describe(inner, text);
    }
}

fn is_flag(argument: &Arg) -> bool {
    !argument.get_action().takes_values()
}

/// Which variable says the same.
fn environment(argument: &Arg) -> String {
    let variable = argument.get_env().map(|name| name.to_string_lossy());
    variable.map(|name| format!(". Or `{name}`")).unwrap_or_default()
}

/// In one line of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Several ways of calling it, one a line.
fn lines(usage: &str) -> String {
    usage.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}
