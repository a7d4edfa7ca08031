//! `cargo xtask bench`: intake and delivery as ratios to a bare peer in the same run, and whether one provider's trouble slows another.
//!
//! Machines are noisy and differ, so that only ratios are worth keeping. Each figure is the median of three runs, and what is measured
//! commits with `synchronous=FULL`: the number of commits is taken from the server's own count.

mod delivery;
mod intake;
mod isolation;
mod rig;

use crate::process::{root, say};

/// One line of the table.
#[derive(Debug)]
struct Row {
    what: &'static str,
    ours: f64,
    peer: f64,
    unit: &'static str,
    peer_name: &'static str,
    note: String,
}

pub(crate) fn run(parts: &[&str]) -> Result<(), String> {
    crate::tools::h2load()?;
    let is_long = parts.contains(&"--long");
    let length = if is_long { isolation::LONG } else { isolation::SHORT };
    let parts: Vec<&str> = parts.iter().copied().filter(|part| *part != "--long").collect();
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part) || parts.contains(&"all");
    if let Some(unknown) =
        parts.iter().find(|part| !["intake", "delivery", "isolation", "all"].contains(part))
    {
        return Err(format!(
            "there is no benchmark {unknown}; there are intake, delivery and isolation"
        ));
    }
    let rig = rig::Rig::build()?;
    let mut rows = Vec::new();
    if wanted("intake") {
        rows.extend(intake::measure(&rig)?);
    }
    if wanted("delivery") {
        rows.push(delivery::measure(&rig)?);
    }
    if wanted("isolation") {
        rows.push(isolation::measure(&rig, length)?);
    }
    say(&table(&rows));
    let path = root().join("bench/results.json");
    std::fs::create_dir_all(root().join("bench")).map_err(|error| error.to_string())?;
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(&path, json(&rows, &before)).map_err(|error| error.to_string())
}

fn table(rows: &[Row]) -> String {
    let head = format!("\n{:<32} {:>10} {:>10} {:>7}  peer; note", "what", "ours", "peer", "ratio");
    let lines = rows.iter().map(|Row { what, ours, peer, unit, peer_name, note }| {
        let ratio = ours / peer * 100.0;
        format!("{what:<32} {ours:>10.0} {peer:>10.0} {ratio:>6.1}%  {unit}; {peer_name}; {note}")
    });
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

/// The rows measured now, and those of before that were not.
fn json(rows: &[Row], before: &str) -> String {
    let name = |what: &str| format!("{{\"what\": \"{what}\",");
    let is_measured = |line: &str| rows.iter().any(|row| line.contains(&name(row.what)));
    let kept = before.lines().filter(|line| line.contains("\"what\"") && !is_measured(line));
    let kept = kept.map(|line| line.trim_end_matches(',').to_owned());
    let measured = rows.iter().map(|row| {
        let Row { what, ours, peer, unit, peer_name, note } = row;
        let ratio = ours / peer;
        format!(
            "  {} \"ratio\": {ratio:.3}, \"unit\": \"{unit}\", \"ours\": {ours:.0}, \"peer\": {peer:.0}, \"peer_name\": \"{peer_name}\", \"note\": \"{note}\"}}",
            name(what)
        )
    });
    let lines: Vec<String> = kept.chain(measured).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// The median of some figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
