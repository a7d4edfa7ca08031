//! `docs/reference/configuration.md`: every key that the code reads stands there and no other, with what it takes. The words are written by hand.

use std::collections::{BTreeMap, BTreeSet};

use reveille_push::PushConfig;
use reveille_sandbox::SandboxConfig;
use reveille_service::config::Document;
use reveille_sessions::SessionsConfig;
use reveille_testkit::{install_crypto, is_written};

use super::page;

/// Configurations that together ask for every key there is: what is asked for depends on modes. What is wrong with them does not matter.
const ASKING: [&str; 6] = [
    "[push]\nstore = \"sqlite:x\"\nfeedback.mode = \"webhook\"\nintake.listen = \"x\"\npublic.listen = \"x\"\npublic.auth.mode = \"sessions\"\nconsole.login_hours = 1\nevents.TYPE.wakes = true\nlimits.TYPE.count = 1\n\
     [apns.NAME]\n[fcm.NAME]\n[webpush]\n[sessions]\nlisten = \"x\"\nstore = \"sqlite:x\"\nnamespaces.NAME.prefix = \"x\"\n\
     [tracing]\nendpoint = \"x\"\n[sandbox]\napns = \"x\"\nfcm = \"x\"\nwebpush = \"x\"\ncontrol = \"x\"\ncert_file = \"x\"\nkey_file = \"x\"\napns_apps.NAME.topics = [\"x\"]",
    "[push]\nstore = \"mariadb://x@y/z\"\nfeedback.mode = \"mediawiki\"\npublic.auth.mode = \"jwt\"\npublic.auth.jwks_file = \"x\"\n\
     [apns.NAME]\ncertificate_file = \"x\"\n[sessions]\nstore = \"cassandra://x/y\"\ncassandra.replication.DATACENTRE = 3",
    "[push]\npublic.auth.mode = \"jwt\"\npublic.auth.jwks_url = \"https://x.example/\"",
    "[push]\npublic.auth.mode = \"header\"\n[apns.NAME]\nkey_id_file = \"x\"",
    "[push]\npublic.auth.mode = \"mediawiki\"",
    "",
];

/// Every key there is, by its path, with what it takes.
fn known() -> BTreeMap<String, String> {
    install_crypto();
    let mut known = BTreeMap::new();
    for text in ASKING {
        let document = Document::parse(text, std::env::temp_dir()).unwrap();
        drop(PushConfig::read(&document));
        drop(SessionsConfig::read(&document));
        drop(SandboxConfig::read(&document));
        known.extend(document.asked().keys());
    }
    known
}

/// The section a heading is about, as in `` ### `[push.mix]` ``.
fn section(line: &str) -> Option<&str> {
    line.starts_with('#')
        .then(|| line.split_once("`[")?.1.split_once("]`"))
        .flatten()
        .map(|it| it.0)
}

/// The keys a row of a table is about.
fn keys(line: &str) -> Vec<&str> {
    let Some(cell) = line.strip_prefix("| `").and_then(|rest| rest.split(" | ").next()) else {
        return Vec::new();
    };
    cell.trim_end_matches('`').split("`, `").collect()
}

#[test]
fn the_page_of_settings_has_every_key_and_no_other() {
    let known = known();
    let file = page("configuration.md");
    let written = std::fs::read_to_string(&file).unwrap();
    let (mut here, mut shown, mut text) = (None, BTreeSet::new(), String::new());
    for line in written.lines() {
        if line.starts_with('#') {
            here = section(line);
        }
        let paths =
            here.map(|section| keys(line).into_iter().map(move |key| format!("{section}.{key}")));
        let paths: Vec<String> = paths.into_iter().flatten().collect();
        let mut takes: Vec<&str> =
            paths.iter().filter_map(|path| known.get(path)).map(String::as_str).collect();
        takes.dedup();
        text += &if takes.is_empty() { line.to_owned() } else { told(line, &takes) };
        text.push('\n');
        shown.extend(paths);
    }
    let known: BTreeSet<String> = known.into_keys().collect();
    let missing: Vec<_> = known.difference(&shown).collect();
    let unknown: Vec<_> = shown.difference(&known).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, not read {unknown:?}");
    assert!(known.len() > 150, "{} are too few", known.len());
    is_written(&file, &text);
}

/// A row with what its keys take in its second cell.
fn told(line: &str, takes: &[&str]) -> String {
    let takes = takes.join("; ");
    let mut cells: Vec<&str> = line.split(" | ").collect();
    cells[1] = &takes;
    cells.join(" | ")
}

#[test]
fn a_default_is_one_of_the_numbers_that_are_taken() {
    let written = std::fs::read_to_string(page("configuration.md")).unwrap();
    let mut compared = 0;
    for line in written.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let range =
            cells[1].strip_prefix("a whole number from ").and_then(|it| it.split_once(" to "));
        let default = cells[2].replace(',', "").parse::<u32>();
        if let (Some((low, high)), Ok(default)) = (range, default) {
            let range = low.parse::<u32>().unwrap()..=high.parse().unwrap();
            assert!(range.contains(&default), "{line}");
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared} are too few");
}
