//! The documents of both APIs say what is: schemathesis calls every operation with what the documents allow and what they do not, and
//! finds no failure of the server and no answer that is not described.
#![cfg(test)]

use std::path::Path;
use std::process::Command;

use reveille_sandbox::init;
use reveille_testkit::{Client, Dir, Server, free_ports, is_long, needs_all, python};
use serde_json::{Value, json};

// Its phase "coverage" is left out: it makes its cases within a time, and on a busy machine calls itself inconsistent.

/// What it looks for.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,unsupported_method,ignored_auth";
/// Beyond this users and addresses are refused, which is not what is asked here.
const NO_RATES: [(&str, &str); 2] = [
    ("REVEILLE_PUSH__PUBLIC__USER_REQUESTS_PER_MINUTE_MAX", "60000000"),
    ("REVEILLE_PUSH__PUBLIC__ADDRESS_REQUESTS_PER_MINUTE_MAX", "60000000"),
];

#[tokio::test]
async fn both_apis_answer_as_their_documents_say() {
    let Some(python) = python() else {
        println!("{}", needs_all("schemathesis"));
        return;
    };
    let dir = Dir::new();
    let ports = free_ports();
    let config = init(&dir.join("rig"), ports, 1).unwrap();
    let tokens = config.with_file_name("intake.tokens");
    std::fs::write(&tokens, "a-token-of-the-site-itself\n").unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("# tokens_file", "tokens_file")).unwrap();
    let arguments = ["push", "--config", config.to_str().unwrap()];
    let program = Path::new(env!("CARGO_BIN_EXE_reveille"));
    let mut push = Server::start_with(program, &arguments, &NO_RATES);
    push.wait_for("the push server is listening").await;
    let public = format!("http://127.0.0.1:{}", ports.public);
    let minted = Client::new(&public).post("/v1/anonymous", &Value::Null).await.json();
    let mine = minted["token"].as_str().unwrap().to_owned();
    let intake = format!("http://127.0.0.1:{}", ports.intake);
    let examples = if is_long() { "500" } else { "40" };
    let schemathesis = Path::new(&python).with_file_name("st");
    for (url, token) in [(public, mine), (intake, "a-token-of-the-site-itself".to_owned())] {
        let mut run = Command::new(&schemathesis);
        run.args(["run", &format!("{url}/openapi.json"), "--url", &url, "--workers", "1"])
            .args(["--checks", CHECKS, "--phases", "examples,fuzzing"])
            .args(["--max-examples", examples, "--seed", "1", "--no-color", "--warnings", "off"])
            .args(["--suppress-health-check", "all", "--request-timeout", "30"])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .current_dir(dir.path());
        let ran = tokio::task::spawn_blocking(move || run.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        println!("{said}");
        assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    }
    // It is still well.
    let ready = Client::new(&format!("http://127.0.0.1:{}", ports.intake)).get("/readyz").await;
    assert_eq!(ready.json(), json!({"status": "ready"}));
    assert!(!push.log().iter().any(|line| line.contains("panicked")), "{:?}", push.log());
}
