//! Durable requests a second, against a handler that reads the body and does nothing.

use super::rig::{Rig, get, h2load, start};
use super::{Row, median};

const RUNS: usize = 3;
const SECONDS: &str = "4";
const CONNECTIONS: &str = "512";

pub(super) fn measure(rig: &Rig) -> Result<Vec<Row>, String> {
    Ok(vec![
        row(rig, "intake, 1 token a request", 1)?,
        row(rig, "intake, 100 tokens a request", 100)?,
    ])
}

fn row(rig: &Rig, what: &'static str, tokens: usize) -> Result<Row, String> {
    let config = rig.config(3_600)?;
    let tokens: Vec<String> = (0..tokens).map(|number| format!("\"{number:0>160}\"")).collect();
    let body = config.file.with_file_name("body.json");
    let text =
        format!("{{\"deviceTokens\":[{}],\"messageType\":\"checkEchoV1\"}}", tokens.join(","));
    std::fs::write(&body, text).map_err(|error| error.to_string())?;
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    let load = |url: &str| {
        let (body, kind) = (body.to_string_lossy().into_owned(), "content-type: application/json");
        h2load(&["--h1", "-c", CONNECTIONS, "-D", SECONDS, "-d", &body, "-H", kind, url])
    };
    let file = config.file.to_string_lossy().into_owned();
    let push = start(&rig.reveille, &["push", "--config", &file], "the push server is listening")?;
    let bare = start(&rig.bare, &[], "listening")?;
    for _ in 0..RUNS {
        peer.push(load("http://127.0.0.1:8999/")?);
        ours.push(load(&format!("http://127.0.0.1:{}/v1/message/fcm", config.intake))?);
    }
    let metrics = get(&format!("http://127.0.0.1:{}/metrics", config.intake))?;
    let figure = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    };
    let grouped =
        figure("reveille_store_commands_total ") / figure("reveille_store_commits_total ");
    drop((push, bare));
    let note = format!(
        "median of {RUNS}, {CONNECTIONS} connections, {grouped:.0} requests a commit (synchronous=FULL)"
    );
    Ok(Row {
        what,
        ours: median(ours),
        peer: median(peer),
        unit: "a second",
        peer_name: "bare hyper handler",
        note,
    })
}
