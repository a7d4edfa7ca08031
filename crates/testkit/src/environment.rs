//! What `cargo xtask test` tells the tests.

use std::ffi::OsString;

#[expect(clippy::disallowed_methods, reason = "how xtask talks to tests")]
fn variable(name: &str) -> Option<OsString> {
    std::env::vars_os().find(|(each, _)| each == name).map(|(_, value)| value)
}

/// Whether long variants were asked for (`--long`).
pub fn is_long() -> bool {
    variable("REVEILLE_TEST_LONG").is_some()
}

/// How many rows tables are to have that are filled.
pub fn rows() -> Option<u64> {
    variable("REVEILLE_TEST_ROWS")?.to_str()?.parse().ok()
}

/// A Python with the packages of the independent peers, if xtask could set one up.
pub fn python() -> Option<OsString> {
    variable("REVEILLE_TEST_PYTHON")
}

/// A Chromium, if xtask could set one up.
pub fn chromium() -> Option<OsString> {
    variable("REVEILLE_TEST_CHROMIUM")
}

/// Where a `MediaWiki` is unpacked, if xtask could set one up.
pub fn mediawiki() -> Option<OsString> {
    variable("REVEILLE_TEST_MEDIAWIKI")
}

/// A PHP with the extension curl, if xtask could set one up.
pub fn php() -> Option<OsString> {
    variable("REVEILLE_TEST_PHP")
}

/// The folder of tools that run on Node.js, if xtask could set them up.
pub fn node() -> Option<OsString> {
    variable("REVEILLE_TEST_NODE")
}

/// A Prometheus, if xtask could set one up.
pub fn prometheus() -> Option<OsString> {
    variable("REVEILLE_TEST_PROMETHEUS")
}

/// What looks at units of systemd, if xtask could set it up.
pub fn systemd() -> Option<OsString> {
    variable("REVEILLE_TEST_SYSTEMD")
}

/// A page is as the code has it; or is written so, where that was asked for (`cargo xtask docs`).
///
/// # Panics
/// If it is not.
pub fn is_written(page: &std::path::Path, text: &str) {
    if variable("REVEILLE_WRITE_DOCS").is_some() {
        std::fs::write(page, text).expect("a page that can be written");
    }
    let written = std::fs::read_to_string(page).unwrap_or_default();
    assert!(written == text, "{} is old: `cargo xtask docs` writes it anew", page.display());
}

/// A `MariaDB` server, if xtask could set one up.
pub(crate) fn mariadb() -> Option<OsString> {
    variable("REVEILLE_TEST_MARIADB")
}

/// The jars of an Apache Cassandra, if xtask could set one up.
pub(crate) fn cassandra() -> Option<OsString> {
    variable("REVEILLE_TEST_CASSANDRA")
}

/// Says on standard output that a test is left out, and why. With `--all`, xtask fails before any test runs if a need is not met.
pub fn needs_all(what: &str) -> String {
    format!("left out: {what}; run `cargo xtask test`, which sets it up")
}
