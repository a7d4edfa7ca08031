//! `cargo xtask bench`: what the server can do, beside a bare peer in the same run.
//!
//! Machines are noisy and differ, so that a figure is worth something beside its limit and its peer only. Each is the median of three runs
//! at the least, or the worst of them; of the hour and the ten million of `--long` there is one. What is measured commits with
//! `synchronous=FULL`; the system calls that put it on disk are counted by `strace`.

mod cassandra;
mod delivery;
mod http;
mod intake;
mod isolation;
mod mariadb;
mod overload;
mod plans;
mod plot;
mod profile;
mod report;
mod rig;
mod sessions;
mod startup;
mod subscriptions;
mod waiting;

use crate::process::say;
use report::Row;
use rig::Rig;

/// How long it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Short,
    Long,
}

const PARTS: [&str; 13] = [
    "startup",
    "intake",
    "subscriptions",
    "sessions",
    "churn",
    "cassandra",
    "delivery",
    "mariadb",
    "plans",
    "waiting",
    "overload",
    "isolation",
    "profile",
];

pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let length = if words.contains(&"--long") { Length::Long } else { Length::Short };
    let parts: Vec<&str> = words.iter().copied().filter(|word| *word != "--long").collect();
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(part) && **part != "all") {
        return Err(format!(
            "there is no benchmark {unknown}; there are {} and all",
            PARTS.join(", ")
        ));
    }
    let is_all = parts.is_empty() || parts.contains(&"all");
    crate::tools::h2load()?;
    crate::tools::strace()?;
    let rig = Rig::build()?;
    let mut is_met = true;
    for part in PARTS {
        if !(is_all || parts.contains(&part)) {
            continue;
        }
        say(&format!("== {part}"));
        let rows: Vec<Row> = match part {
            "startup" => startup::measure(&rig)?,
            "intake" => intake::measure(&rig)?,
            "subscriptions" => subscriptions::measure(&rig)?,
            "sessions" => sessions::measure(&rig)?,
            "churn" => sessions::churn(&rig, length)?,
            "cassandra" => cassandra::measure(&rig)?,
            "delivery" => delivery::measure(&rig)?,
            "mariadb" => mariadb::measure(&rig)?,
            "plans" => vec![plans::measure()?],
            "waiting" => waiting::measure(&rig, length)?,
            "overload" => overload::measure(&rig, length)?,
            "isolation" => vec![isolation::measure(&rig, length)?],
            _ => profile::draw()?,
        };
        // After each part, so that a failure later on loses nothing.
        let (table, are_met) = report::write(&rows)?;
        say(&table);
        is_met &= are_met;
    }
    if is_met { Ok(()) } else { Err("a limit was missed".to_owned()) }
}
