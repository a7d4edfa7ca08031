//! `reveille quarantine`: what the person on call does about devices that look dead.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::client::{call, text};
use crate::cli::{QuarantineArguments, QuarantineCommand, ServerArguments, WhichArguments};
use crate::failure::Failure;
use crate::say;

/// Devices of one page.
const PAGE: usize = 1_000;

pub(crate) async fn run(arguments: QuarantineArguments) -> Result<(), Failure> {
    match arguments.command {
        QuarantineCommand::List { server } => list(&server).await,
        QuarantineCommand::Release { which, server } => change(&server, "release", which).await,
        QuarantineCommand::Drop { which, yes, server } => {
            if which.ids.is_empty() && !yes {
                let what = "this drops many devices, and there is no way back; look at `reveille quarantine list`, and say --yes";
                return Err(Failure::Refused(what.to_owned()));
            }
            change(&server, "drop", which).await
        }
    }
}

async fn list(server: &ServerArguments) -> Result<(), Failure> {
    let mut after = String::new();
    let (mut all, mut counts) = (Vec::new(), BTreeMap::new());
    loop {
        let path = format!("/v1/quarantine?limit={PAGE}{after}");
        let answer = call(server, Method::GET, &path, None).await?;
        let devices = answer.get("devices").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_last = devices.len() < PAGE;
        if let Some(last) = devices.last() {
            after = format!("&after={}", text(last, "id"));
        }
        if server.json {
            all.extend(devices);
        } else {
            for device in &devices {
                show(device);
                *counts.entry(kind(device)).or_insert(0_usize) += 1;
            }
        }
        if is_last {
            break;
        }
    }
    if server.json {
        say::line(&Value::from(all).to_string());
    } else if after.is_empty() {
        say::note("no device is in quarantine");
    }
    // Last, where a person is still looking after a long list.
    for (kind, count) in counts {
        say::note(&format!("{count:>9}  {kind}"));
    }
    Ok(())
}

/// What devices in quarantine have in common: most often all of it is one mistake.
fn kind(device: &Value) -> String {
    let topic = text(device, "topic");
    let space = if topic.is_empty() { "" } else { " " };
    format!("{}{space}{topic}  {}", text(device, "set"), text(device, "reason"))
}

fn show(device: &Value) {
    let verdicts = device.get("verdicts").and_then(Value::as_u64).unwrap_or_default();
    say::line(&format!(
        "{}  {}  {verdicts} since {}  next try {}",
        text(device, "id"),
        kind(device),
        text(device, "since"),
        text(device, "next_try"),
    ));
}

async fn change(
    server: &ServerArguments,
    deed: &str,
    which: WhichArguments,
) -> Result<(), Failure> {
    let body = match which {
        WhichArguments { set: Some(set), .. } => json!({ "set": set }),
        WhichArguments { all: true, .. } => json!({ "all": true }),
        WhichArguments { ids, .. } => json!({ "ids": ids }),
    };
    let path = format!("/v1/quarantine/{deed}");
    let answer = call(server, Method::POST, &path, Some(body)).await?;
    if server.json {
        say::line(&answer.to_string());
        return Ok(());
    }
    let count = answer.get("count").and_then(Value::as_u64).unwrap_or_default();
    let past = if deed == "drop" { "dropped" } else { "released" };
    say::line(&format!("{count} {past}"));
    if count == 0 {
        say::note("none of them is in quarantine");
    }
    Ok(())
}
