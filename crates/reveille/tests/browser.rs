//! A real browser on the page of `reveille dev`: it subscribes, is woken by a push that Reveille made, and shows what its inbox holds.
#![cfg(test)]

use std::path::Path;
use std::process::Command;

use reveille_testkit::{Dir, Server, chromium, free_port_range, needs_all, python};

#[tokio::test]
async fn a_browser_is_woken_and_finds_its_inbox() {
    let (Some(python), Some(chromium)) = (python(), chromium()) else {
        println!("{}", needs_all("Chromium and the independent peers in Python"));
        return;
    };
    let dir = Dir::new();
    let port = free_port_range(14);
    let data = dir.join("dev");
    let arguments = ["dev", "--port", &port.to_string(), "--dir", data.to_str().unwrap()];
    let mut dev = Server::start(Path::new(env!("CARGO_BIN_EXE_reveille")), &arguments);
    dev.wait_for("Wake your own browser").await;
    // Kept for people to look at.
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo.png");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser.py");
    let (page, control) =
        (format!("http://127.0.0.1:{}/", port + 2), format!("http://127.0.0.1:{}", port + 10));
    let mut drive = Command::new(python);
    drive.args([script, &page, &control]).arg(chromium).arg(dir.join("chromium")).arg(&picture);
    let output = tokio::task::spawn_blocking(move || drive.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 6, "{said}");
    assert!(picture.metadata().unwrap().len() > 1_000);
    println!("{said}the screenshot is {}", picture.display());
    dev.terminate();
}
