//! `cargo xtask test`: sets up what the tests need and runs them all.

use std::process::Command;

use crate::package;
use crate::process::{self, root, say};
use crate::tools;

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
    match tools::python() {
        Ok(python) => {
            tests.env("REVEILLE_TEST_PYTHON", python);
        }
        Err(why) => left_out.push(format!("tests against the independent HTTP/2 peer: {why}")),
    }
    match tools::chromium() {
        Ok(chromium) => {
            tests.env("REVEILLE_TEST_CHROMIUM", chromium);
        }
        Err(why) => left_out.push(format!("the browser on the demo page: {why}")),
    }
    match tools::mediawiki() {
        Ok(mediawiki) => {
            tests.env("REVEILLE_TEST_MEDIAWIKI", mediawiki);
        }
        Err(why) => left_out.push(format!("tests against a real wiki: {why}")),
    }
    match tools::mariadb() {
        Ok(mariadb) => {
            tests.env("REVEILLE_TEST_MARIADB", mariadb);
        }
        Err(why) => left_out.push(format!("tests against MariaDB: {why}")),
    }
    match tools::prometheus() {
        Ok(prometheus) => {
            tests.env("REVEILLE_TEST_PROMETHEUS", prometheus);
        }
        Err(why) => left_out.push(format!("rules and alerts with Prometheus: {why}")),
    }
    match tools::systemd() {
        Ok(analyze) => {
            tests.env("REVEILLE_TEST_SYSTEMD", analyze);
        }
        Err(why) => left_out.push(format!("the units of systemd: {why}")),
    }
    match tools::cassandra() {
        Ok(jars) => {
            tests.env("REVEILLE_TEST_CASSANDRA", jars);
        }
        Err(why) => left_out.push(format!("tests against Cassandra: {why}")),
    }
    if all && !left_out.is_empty() {
        return Err(format!("left out, which --all does not allow:\n  {}", left_out.join("\n  ")));
    }
    if long {
        tests.env("REVEILLE_TEST_LONG", "1");
    }
    let result = process::run(&mut tests).and_then(|()| package::check());
    if !left_out.is_empty() {
        say(&format!("left out:\n  {}", left_out.join("\n  ")));
    }
    result
}
