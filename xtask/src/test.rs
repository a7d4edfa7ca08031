//! `cargo xtask test`: sets up what the tests need and runs them all.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{self, root, say};
use crate::tools;
use crate::{book, package};

/// Sets a tool up if need be; where it is, or why it is not.
type SetUp = fn() -> Result<PathBuf, String>;

/// What some tests need: the variable that tells them, what sets it up, and what is left out without it.
const TOOLS: [(&str, SetUp, &str); 9] = [
    ("REVEILLE_TEST_PYTHON", tools::python, "tests against the independent HTTP/2 peer"),
    ("REVEILLE_TEST_CHROMIUM", tools::chromium, "the browser on the demo page"),
    ("REVEILLE_TEST_MEDIAWIKI", tools::mediawiki, "tests against a real wiki"),
    ("REVEILLE_TEST_PHP", tools::php, "the client in PHP"),
    (
        "REVEILLE_TEST_NODE",
        tools::node,
        "types of the client for browsers, and the console's accessibility",
    ),
    ("REVEILLE_TEST_MARIADB", tools::mariadb, "tests against MariaDB"),
    ("REVEILLE_TEST_PROMETHEUS", tools::prometheus, "rules and alerts with Prometheus"),
    ("REVEILLE_TEST_SYSTEMD", tools::systemd, "the units of systemd"),
    ("REVEILLE_TEST_CASSANDRA", tools::cassandra, "tests against Cassandra"),
];

pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let (mut all, mut long) = (false, false);
    for option in options {
        match *option {
            "--all" => all = true,
            "--long" => long = true,
            other => return Err(format!("there is no option {other}; there are --all and --long")),
        }
    }
    let mut tests = Command::new("cargo");
    tests.args(["test", "--workspace", "--no-fail-fast"]).current_dir(root());
    let mut left_out = Vec::new();
    for (variable, set_up, what) in TOOLS {
        match set_up() {
            Ok(tool) => {
                tests.env(variable, tool);
            }
            Err(why) => left_out.push(format!("{what}: {why}")),
        }
    }
    let binds = tools::mdbook();
    if let Err(why) = &binds {
        left_out.push(format!("the book: {why}"));
    }
    let packs = tools::dpkg();
    if let Err(why) = &packs {
        left_out.push(format!("the Debian package: {why}"));
    }
    if all && !left_out.is_empty() {
        return Err(format!("left out, which --all does not allow:\n  {}", left_out.join("\n  ")));
    }
    if long {
        tests.env("REVEILLE_TEST_LONG", "1");
    }
    let mut result = process::run(&mut tests);
    if binds.is_ok() {
        result = result.and_then(|()| book::build().map(drop));
    }
    if packs.is_ok() {
        result = result.and_then(|()| package::check());
    }
    if !left_out.is_empty() {
        say(&format!("left out:\n  {}", left_out.join("\n  ")));
    }
    result
}
