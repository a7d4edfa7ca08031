//! The JavaScript module: a page and its service worker in a real browser.

use std::path::Path;
use std::process::Command;

use reveille_testkit::{chromium, needs_all, python};

use crate::rig::{Rig, Settings, at, clients, script, succeeds};

/// What the script checks.
const CHECKS: usize = 15;

async fn drives(environment: &[(&str, &str)], more: &[&str]) {
    let (Some(python), Some(chromium)) = (python(), chromium()) else {
        println!("{}", needs_all("Chromium and the independent peers in Python"));
        return;
    };
    let rig = Rig::start(Settings { environment, ..Settings::default() }).await;
    let ports = rig.ports;
    let mut drive = Command::new(Path::new(&python));
    drive
        .arg(script("browser.py"))
        .arg(ports.demo.to_string())
        .args([ports.public, ports.intake, ports.control].map(at))
        .arg(chromium)
        .arg(rig.dir.join("chromium"))
        .arg(clients().join("javascript"))
        .args(more)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    println!("{}", succeeds(drive, CHECKS).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_and_its_worker_do_what_they_say() {
    drives(&[], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_show_that_they_have_their_token_where_they_have_to() {
    drives(&[("REVEILLE_PUSH__SUBSCRIPTIONS__VERIFY", "true")], &["proof"]).await;
}
