//! Settled deliveries a second through FCM, against `h2load` on the same sandbox.

use std::process::Command;
use std::time::{Duration, Instant};

use super::rig::{Config, Rig, Running, get, h2load, start};
use super::{Row, median};
use crate::process::output;

const RUNS: usize = 3;
const WAKEUPS: usize = 40_000;
/// Long enough for all wake-ups to be accepted in one window.
const WINDOW_S: u32 = 10;
const TOKENS_PER_REQUEST: usize = 1_000;

pub(super) fn measure(rig: &Rig) -> Result<Row, String> {
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let config = rig.config(WINDOW_S)?;
        let file = config.file.to_string_lossy().into_owned();
        let sandbox =
            start(&rig.reveille, &["sandbox", "--config", &file], "the sandbox is listening")?;
        peer.push(bare(&config)?);
        ours.push(delivered(rig, &config, &file)?);
        drop(sandbox);
    }
    let note = format!(
        "median of {RUNS}, {WAKEUPS} wake-ups, each settled on disk (synchronous=FULL), over TLS"
    );
    Ok(Row {
        what: "delivery to FCM",
        ours: median(ours),
        peer: median(peer),
        unit: "a second",
        peer_name: "h2load, same sandbox",
        note,
    })
}

/// What `h2load` gets out of the sandbox.
fn bare(config: &Config) -> Result<f64, String> {
    let control = format!("http://127.0.0.1:{}", config.control);
    let answer = output(Command::new("curl").args([
        "-s",
        "-f",
        "-X",
        "POST",
        &format!("{control}/tokens"),
    ]))?;
    let token = answer.split('"').nth(3).ok_or("the sandbox gives no token")?.to_owned();
    let body = config.file.with_file_name("message.json");
    let text = r#"{"validate_only":false,"message":{"token":"h2load","data":{"type":"checkEchoV1"},"android":{"collapse_key":"checkEchoV1","priority":"NORMAL","ttl":"3600s"}}}"#;
    std::fs::write(&body, text).map_err(|error| error.to_string())?;
    let url =
        format!("https://127.0.0.1:{}/v1/projects/reveille-sandbox/messages:send", config.fcm);
    let authorization = format!("authorization: Bearer {token}");
    let rate = h2load(&[
        "-n",
        &WAKEUPS.to_string(),
        "-c",
        "1",
        "-m",
        "1000",
        "-d",
        &body.to_string_lossy(),
        "-H",
        &authorization,
        "-H",
        "content-type: application/json",
        &url,
    ])?;
    output(Command::new("curl").args([
        "-s",
        "-f",
        "-X",
        "DELETE",
        &format!("{control}/received"),
    ]))?;
    Ok(rate)
}

/// Fills one window and times its delivery, from the first push that arrives to the last that is settled.
fn delivered(rig: &Rig, config: &Config, file: &str) -> Result<f64, String> {
    let push: Running =
        start(&rig.reveille, &["push", "--config", file], "the push server is listening")?;
    let url = format!("http://127.0.0.1:{}", config.intake);
    let body = config.file.with_file_name("fill.json");
    for request in 0..WAKEUPS / TOKENS_PER_REQUEST {
        let tokens =
            (0..TOKENS_PER_REQUEST).map(|number| format!("\"token-{request}-{number:0>140}\""));
        let tokens = tokens.collect::<Vec<_>>().join(",");
        let text = format!("{{\"messageType\":\"checkEchoV1\",\"deviceTokens\":[{tokens}]}}");
        std::fs::write(&body, text).map_err(|error| error.to_string())?;
        let data = format!("@{}", body.display());
        let path = format!("{url}/v1/message/fcm");
        output(Command::new("curl").args([
            "-s",
            "-f",
            "-H",
            "content-type: application/json",
            "-d",
            &data,
            &path,
        ]))?;
    }
    let stats = |least: usize| {
        get(&format!("http://127.0.0.1:{}/stats?received_min={least}&wait_s=120", config.control))
    };
    stats(1)?;
    let begun = now();
    stats(WAKEUPS)?;
    // Settled, not only sent: the ledger must say so.
    while !get(&format!("{url}/metrics"))?
        .contains(&format!("reveille_ledger_wakeups{{state=\"sent\"}} {WAKEUPS}\n"))
    {
        if begun.elapsed() > Duration::from_mins(5) {
            return Err("not everything was delivered in five minutes".to_owned());
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    drop(push);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok(WAKEUPS as f64 / seconds)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}
