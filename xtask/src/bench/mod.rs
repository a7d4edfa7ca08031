//! `cargo xtask bench`: intake and delivery as ratios to a bare peer in the same run.
//!
//! Machines are noisy and differ, so that only ratios are worth keeping. Each figure is the median of three runs, and what is measured
//! commits with `synchronous=FULL`: the number of commits is taken from the server's own count.

mod delivery;
mod intake;
mod rig;

use crate::process::{root, say};

/// One line of the table.
#[derive(Debug)]
struct Row {
    what: &'static str,
    ours: f64,
    peer: f64,
    peer_name: &'static str,
    note: String,
}

pub(crate) fn run(parts: &[&str]) -> Result<(), String> {
    crate::tools::h2load()?;
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part) || parts.contains(&"all");
    if let Some(unknown) = parts.iter().find(|part| !["intake", "delivery", "all"].contains(part)) {
        return Err(format!("there is no benchmark {unknown}; there are intake and delivery"));
    }
    let rig = rig::Rig::build()?;
    let mut rows = Vec::new();
    if wanted("intake") {
        rows.extend(intake::measure(&rig)?);
    }
    if wanted("delivery") {
        rows.push(delivery::measure(&rig)?);
    }
    say(&table(&rows));
    let path = root().join("bench/results.json");
    std::fs::create_dir_all(root().join("bench")).map_err(|error| error.to_string())?;
    std::fs::write(&path, json(&rows)).map_err(|error| error.to_string())
}

fn table(rows: &[Row]) -> String {
    let head =
        format!("\n{:<30} {:>10} {:>10} {:>7}  peer; note", "what", "ours/s", "peer/s", "ratio");
    let lines = rows.iter().map(|Row { what, ours, peer, peer_name, note }| {
        let ratio = ours / peer * 100.0;
        format!("{what:<30} {ours:>10.0} {peer:>10.0} {ratio:>6.1}%  {peer_name}; {note}")
    });
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

fn json(rows: &[Row]) -> String {
    let lines: Vec<String> = rows
        .iter()
        .map(|Row { what, ours, peer, peer_name, note }| {
            let ratio = ours / peer;
            format!(
                "  {{\"what\": \"{what}\", \"ratio\": {ratio:.3}, \"peer\": \"{peer_name}\", \"ours_per_s\": {ours:.0}, \"peer_per_s\": {peer:.0}, \"note\": \"{note}\"}}"
            )
        })
        .collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// The median of some figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
