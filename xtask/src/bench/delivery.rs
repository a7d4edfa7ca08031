//! Settled deliveries a second, against `h2load` on the same sandbox in the same run.

use std::process::Command;
use std::time::Duration;

use super::http::Client;
use super::report::{Limit, Peer, Row, median};
use super::rig::{Config, More, Provider, Rig, browser, h2load, now, sent};
use crate::process::{output, say};

const RUNS: usize = 3;
/// Long enough for all wake-ups to be accepted in one window.
const WINDOW_S: u32 = 8;
/// Longest wait for all of them to be settled.
const TIME_MAX: Duration = Duration::from_mins(5);

pub(super) fn measure(rig: &Rig) -> Result<Vec<Row>, String> {
    let share = Some(Limit::AtLeast(0.3));
    Ok(vec![
        row(rig, (Provider::Apns, 150_000), (25_000.0, share))?,
        row(rig, (Provider::Fcm, 150_000), (25_000.0, share))?,
        // Each is encrypted for its browser, and the sandbox decrypts it.
        row(rig, (Provider::WebPush, 30_000), (5_000.0, None))?,
    ])
}

fn row(
    rig: &Rig,
    (provider, count): (Provider, usize),
    (least, ratio): (f64, Option<Limit>),
) -> Result<Row, String> {
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for run in 1..=RUNS {
        let config = rig.config(WINDOW_S, &More::default())?;
        let sandbox = rig.sandbox(&config)?;
        peer.push(bare(rig, &config, (provider, count))?);
        let push = rig.push(&config)?;
        config.fill(provider, (0, count))?;
        ours.push(drained(&config, count)?);
        say(&format!(
            "{}, run {run}: {:?}, h2load {:?}",
            provider.name(),
            ours.last(),
            peer.last()
        ));
        drop((push, sandbox));
    }
    Ok(Row {
        what: format!("delivery to {}", provider.name()),
        figure: median(ours),
        unit: "/s",
        limit: Some(Limit::AtLeast(least)),
        peer: Some(Peer { name: "h2load", figure: median(peer), ratio }),
        note: format!(
            "median of {RUNS} times {count} wake-ups of one window, over TLS, each settled on disk; h2load on the same sandbox"
        ),
    })
}

/// Times a delivery, from when its first wake-ups are settled until all are. Returns how many a second.
pub(super) fn drained(config: &Config, count: usize) -> Result<f64, String> {
    let first = config.wait_for("the first delivery", TIME_MAX, |metrics| sent(metrics) > 0.0)?;
    let begun = now();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let all = count as f64;
    config.wait_for("all deliveries", TIME_MAX, |metrics| sent(metrics) >= all)?;
    Ok((all - sent(&first)) / begun.elapsed().as_secs_f64())
}

/// What `h2load` gets out of the sandbox.
fn bare(rig: &Rig, config: &Config, (provider, count): (Provider, usize)) -> Result<f64, String> {
    let control = Client::new(config.control);
    let body = config.file.with_file_name("ready.body");
    let folder = config.file.parent().unwrap_or(&config.file);
    let made = |arguments: &[&str]| -> Result<Vec<String>, String> {
        let printed = output(Command::new(&rig.ready).arg(folder).args(arguments))?;
        Ok(printed.lines().map(str::to_owned).collect())
    };
    let (headers, url) = match provider {
        Provider::Apns => {
            let device = format!("https://127.0.0.1:{}/3/device/{}", config.apns, "ab".repeat(32));
            (made(&["apns"])?, device)
        }
        Provider::Fcm => {
            let answer = control.post("/tokens", "")?;
            let token = answer.split('"').nth(3).ok_or("the sandbox gives no token")?.to_owned();
            let text = r#"{"validate_only":false,"message":{"token":"h2load","data":{"type":"checkEchoV1"},"android":{"collapse_key":"checkEchoV1","priority":"NORMAL","ttl":"3600s"}}}"#;
            std::fs::write(&body, text).map_err(|error| error.to_string())?;
            let headers = vec![
                format!("authorization: Bearer {token}"),
                "content-type: application/json".to_owned(),
            ];
            let path = "/v1/projects/reveille-sandbox/messages:send";
            (headers, format!("https://127.0.0.1:{}{path}", config.fcm))
        }
        Provider::WebPush => {
            let browser = browser(&control, usize::MAX)?;
            let rest = browser.split("\"endpoint\":\"").nth(1).unwrap_or_default();
            let endpoint = rest.split('"').next().unwrap_or_default().to_owned();
            if !endpoint.starts_with(&format!("https://127.0.0.1:{}/", config.webpush)) {
                return Err(format!("the sandbox gives no subscription: {browser}"));
            }
            (made(&["webpush", &browser])?, endpoint)
        }
    };
    let (count, body) = (count.to_string(), body.to_string_lossy().into_owned());
    let mut arguments = vec!["-n", &count, "-c", "1", "-m", "1000", "-d", &body];
    for header in &headers {
        arguments.extend(["-H", header]);
    }
    arguments.push(&url);
    let rate = h2load(&arguments)?;
    control.request("DELETE", "/received", "")?;
    Ok(rate)
}
