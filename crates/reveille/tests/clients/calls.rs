//! The files for Python and PHP: every call, and every kind of trouble.

use std::path::Path;
use std::process::Command;

use reveille_testkit::{needs_all, php, python};

use crate::relay::Relay;
use crate::rig::{Rig, Settings, TOKEN, at, clients, script, succeeds};

/// Few enough that it can be filled.
const OUTBOX: &[(&str, &str)] = &[("REVEILLE_PUSH__OUTBOX_WAKEUPS_MAX", "3")];
/// What each script checks.
const CHECKS: usize = 10;

/// Runs a script with the folder of the client it tries.
async fn tries(program: &Path, script_name: &str, folder: &str) {
    let rig =
        Rig::start(Settings { has_tokens: true, environment: OUTBOX, ..Settings::default() }).await;
    rig.register("alice", "a-phone").await;
    rig.register("b%C3%B6b%2Fby", "another-phone").await;
    let relay = Relay::start(rig.ports.intake).await;
    let mut run = Command::new(program);
    run.arg(script(script_name))
        .arg(clients().join(folder))
        .args([at(rig.ports.intake), TOKEN.to_owned(), at(relay.port)])
        .args([format!("{}/sessions/v1", at(rig.sessions)), at(rig.ports.control)])
        .arg(format!("https://127.0.0.1:{}", rig.ports.fcm))
        .arg(rig.folder().join("ca.pem"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    println!("{}", succeeds(run, CHECKS).await);
    let keys = relay.header("idempotency-key");
    assert_eq!(keys.len(), 3, "one request, and two more");
    assert!(!keys[0].is_empty() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_file_does_what_it_says() {
    let Some(python) = python() else {
        println!("{}", needs_all("the client in Python"));
        return;
    };
    tries(Path::new(&python), "calls.py", "python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_php_file_does_what_it_says() {
    let Some(php) = php() else {
        println!("{}", needs_all("the client in PHP"));
        return;
    };
    tries(Path::new(&php), "calls.php", "php").await;
}
