//! `reveille lab` as people meet it: tables, pictures, logs, and what it says to mistakes.
#![cfg(test)]

use std::process::{Command, Output};

use reveille_testkit::Dir;
use serde_json::Value;

fn reveille(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reveille")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const SMALL: [&str; 10] =
    ["lab", "table", "--devices", "2000", "--rate", "0.1", "--trials", "20", "--events", "1,3,20"];

fn table(more: &[&str]) -> Output {
    reveille(&[&SMALL[..], more].concat())
}

#[test]
fn a_table_is_repeated_byte_for_byte() {
    let designs = ["--designs", "grid,decoys,cohort-8,sealed", "--json", "-"];
    let first = table(&[&designs[..], &["--threads", "1"]].concat());
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    assert!(first.stderr.is_empty(), "no progress in a pipe: {}", text(&first.stderr));
    assert_eq!(first.stdout, table(&[&designs[..], &["--threads", "3"]].concat()).stdout);
    assert_ne!(first.stdout, table(&[&designs[..], &["--seed", "2"]].concat()).stdout);
    let json: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), 4);
    let after_twenty = |row: usize| json["rows"][row]["points"][2]["top1"].as_f64().unwrap();
    assert!(after_twenty(0) > 0.99, "a grid gives the account away");
    assert!((after_twenty(2) - 0.125).abs() < 1e-3, "a cohort does not");
    assert!((after_twenty(3) - 0.0005).abs() < 1e-6, "nor do sealed devices");
    assert!(json["proposal"]["proposed"]["k"].as_u64().unwrap() >= 2);
}

#[test]
fn a_table_is_read_and_drawn() {
    let dir = Dir::new();
    let (pictures, json) = (dir.join("pictures"), dir.join("table.json"));
    let shown = table(&["--plots", pictures.to_str().unwrap(), "--json", json.to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    let shown = text(&shown.stdout);
    for words in ["n=20", "cohort-16", "±", "Proposed: k = "] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    for (name, start) in [("linkage", "<svg"), ("frontier", "<svg")] {
        let svg = std::fs::read_to_string(pictures.join(name).with_extension("svg")).unwrap();
        assert!(svg.starts_with(start));
        let png = std::fs::read(pictures.join(name).with_extension("png")).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
    }
    let json: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), 8);
}

#[test]
fn the_reference_point_is_as_it_is_known() {
    let checked = reveille(&["lab", "table", "--check", "--trials", "60"]);
    let shown = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(0), "{shown}{}", text(&checked.stderr));
    assert!(shown.contains("cohort-16") && shown.contains("  ok") && !shown.contains("FAILED"));
}

#[test]
fn logs_are_attacked() {
    let dir = Dir::new();
    let file = |name: &str, lines: String| {
        std::fs::write(dir.join(name), lines).unwrap();
        dir.join(name).to_str().unwrap().to_owned()
    };
    // Forty devices in cohorts of four; each account has an event in a window of its own, three times over.
    let happened = |number: i32| (number * 7 % 40, (number + 1) * 100);
    let mates = |account: i32| (0..4).map(move |member| 1_000 + account / 4 * 4 + member);
    let lines = |rows: Vec<(i32, i32)>| {
        let lines: Vec<String> = rows.iter().map(|(one, two)| format!("{one},{two}")).collect();
        lines.join("\n")
    };
    let windows = || (0..120).map(happened);
    let events = lines(windows().map(|(account, end)| (end - 50, account)).collect());
    let pushed = windows().flat_map(|(account, end)| mates(account).map(move |mate| (end, mate)));
    let pushes = lines(pushed.collect());
    let truth = lines((0..40).map(|account| (account, 1_000 + account)).collect());
    let (events, pushes, truth) =
        (file("events.csv", events), file("pushes.csv", pushes), file("truth.csv", truth));
    let attack = |more: &[&str]| {
        let base = ["lab", "attack", &events, &pushes, "--truth", &truth, "--max-delay", "100"];
        reveille(&[&base[..], more].concat())
    };
    let found = attack(&["--json", "-"]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found.stderr));
    let json: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(json["accounts"], 40);
    assert_eq!(json["histories"]["smallest"], 4);
    assert!((json["points"][2]["top1"].as_f64().unwrap() - 0.25).abs() < 1e-3, "{json}");
    assert!((json["points"][2]["hit"].as_f64().unwrap() - 0.25).abs() < 1e-9, "{json}");
    let shown = text(&attack(&[]).stdout);
    assert!(shown.contains("40 devices, 480 pushes, 40 accounts attacked"), "{shown}");

    let wrong = file("wrong.csv", "1,2\nx,3\n".to_owned());
    let refused =
        reveille(&["lab", "attack", &wrong, &pushes, "--truth", &truth, "--max-delay", "100"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("wrong.csv, line 2: `x` is not a whole number"), "{said}");
    let missing =
        reveille(&["lab", "attack", "none.csv", &pushes, "--truth", &truth, "--max-delay", "1"]);
    assert!(text(&missing.stderr).contains("cannot read none.csv"));
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    for (arguments, words) in [
        (&["--rate", "0"][..], "the rate must be"),
        (&["--devices", "1"], "the number of devices must be"),
        (&["--mean-delay", "-1"], "the mean delay must be"),
        (&["--mean-delay", "0.1"], "the mean delay must be"),
        (&["--events", "0"], "events must be"),
        (&["--trials", "1"], "the number of trials must be"),
        (&["--designs", "pool"], "`pool` is no design"),
        (&["--check", "--devices", "5"], "cannot be used with"),
        (&["--rate", "0.0001"], "decoys are a whole number a minute"),
        (&["--threads", "0"], "above 0"),
        (&["--devices", "5", "--designs", "cohort-8"], "fewer devices than one cohort"),
    ] {
        let refused = reveille(&[&["lab", "table"], arguments].concat());
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        let said = text(&refused.stderr);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}
