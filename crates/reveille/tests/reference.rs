//! `reveille push --reference-config`: the server that takes the place of Wikimedia's push-notifications service, with its own configuration.
#![cfg(test)]

use std::path::Path;
use std::process::Command;

use reveille_sandbox::init;
use reveille_testkit::{Client, Dir, Server, free_ports};
use serde_json::json;

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");

/// All that the service knows.
const YAML: &str = "
num_workers: 4
worker_heap_limit_mb: 250
logging:
  level: info
  streams: [{type: stdout}]
metrics:
  - {type: prometheus, port: 9102}
services:
  - name: push-notifications
    module: ./app.js
    conf:
      port: PORT
      interface: 127.0.0.1
      compression_level: 3
      cors: '*'
      csp: false
      proxy: http://proxy.example:8080
      no_proxy_list: [localhost]
      log_header_whitelist: [user-agent]
      user_agent: push-notifications
      spec: spec.yaml
      max_body_size: 100kb
      express_rate_limiter: {windowMs: 1000, max: 10}
      enable_custom_cookie_jar: true
      mw_subscription_manager_username: PushBot
      mw_subscription_manager_password: planted-password
      mwapi_req:
        method: post
        uri: http://127.0.0.1:1/w/api.php
        headers:
          host: meta.example.org
          user-agent: '{{user-agent}}'
          X-Forwarded-Proto: https
        body: '{{ default(request.query, {}) }}'
      apns:
        mock: false
        production: false
        token: {key: apns.p8, keyId: ABC123DEFG, teamId: DEF123GHIJ}
      queueing: {flushTimeoutMs: 1000, maxSize: 5000, verbose: true}
      colour: blue
";

#[tokio::test]
async fn the_reference_services_configuration_is_enough() {
    let (dir, ports) = (Dir::new(), free_ports());
    let rig = init(&dir.join("rig"), ports, 1).unwrap();
    let keys = rig.parent().unwrap();
    let find = |ends: &str| {
        let files = std::fs::read_dir(keys).unwrap().map(|file| file.unwrap().path());
        files.into_iter().find(|path| path.to_str().unwrap().ends_with(ends)).unwrap()
    };
    std::fs::copy(find(".p8"), dir.join("apns.p8")).unwrap();
    let yaml = dir.join("config.yaml");
    std::fs::write(&yaml, YAML.replace("PORT", &ports.intake.to_string())).unwrap();
    let yaml = yaml.to_str().unwrap();
    let account = find("service-account.json").display().to_string();
    let environment = [("GOOGLE_APPLICATION_CREDENTIALS", account.as_str())];
    let arguments = ["push", "--reference-config", yaml, "--apns-topic", "org.wikimedia.wikipedia"];
    let mut server = Server::start_with(Path::new(REVEILLE), &arguments, &environment);
    server.wait_for("the push server is listening").await;
    let log = server.log().join("\n");
    for ignored in [
        "conf.compression_level:",
        "conf.cors:",
        "conf.csp:",
        "conf.proxy: there is no proxy",
        "conf.no_proxy_list:",
        "conf.log_header_whitelist:",
        "conf.user_agent:",
        "conf.spec:",
        "conf.max_body_size:",
        "conf.express_rate_limiter:",
        "conf.enable_custom_cookie_jar:",
        "conf.queueing.verbose:",
        "conf.queueing.maxSize: a window ends by the clock",
        "apps are woken in cohorts",
        "conf.mwapi_req.method:",
        "conf.mwapi_req.body:",
        "conf.mwapi_req.headers.user-agent:",
        "conf.colour: it is not known",
        "num_workers:",
        "worker_heap_limit_mb:",
        "logging:",
        "metrics: metrics are at /metrics of the same port",
    ] {
        assert!(log.contains(ignored), "{ignored} is not in\n{log}");
    }
    assert_eq!(log.matches("the reference service's configuration").count(), 22, "{log}");
    assert!(!log.contains("planted"), "{log}");
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap();
    let left: Vec<_> =
        left.filter_map(|file| Some(file.ok()?.path().join("wiki-password"))).collect();
    assert!(left.iter().all(|path| !path.exists()), "no secret is left behind");

    let client = Client::new(&format!("http://127.0.0.1:{}", ports.intake));
    let body = json!({"deviceTokens": ["aabb"], "messageType": "checkEchoV1", "topic": "org.wikimedia.wikipedia"});
    let answer = client.post("/v1/message/apns", &body).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "{}"));
    let metrics = client.get("/metrics").await.text;
    for line in [
        "express_router_request_duration_seconds_bucket{path=\"/v1/message/apns\",method=\"POST\",status=\"200\",le=\"0.05\"}",
        "push_notifications_notification_queue_time_bucket{le=\"50\"}",
        "push_notifications_notification_queue_time_count 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(dir.join("reveille.db").exists(), "it keeps what it accepts beside the file");
}

#[test]
fn what_is_wrong_with_it_is_said() {
    let dir = Dir::new();
    let run = |yaml: &str, more: &[&str]| {
        let path = dir.join("config.yaml");
        std::fs::write(&path, yaml).unwrap();
        let output = Command::new(REVEILLE)
            .args(["push", "--reference-config", path.to_str().unwrap()])
            .args(more)
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (yaml, code, what) in [
        ("a: [", 3, "it is no YAML"),
        ("a: 1", 3, "it has no list `services`"),
        ("services: []", 3, "must name one service"),
        ("services: [{conf: {port: 1.5}}]", 3, "conf.port must be a whole number"),
        ("services: [{conf: {interface: nowhere}}]", 3, "push.intake.listen"),
        ("services: [{conf: {apns: {token: {key: none.p8}}}}]", 3, "--apns-topic"),
    ] {
        let (status, error) = run(yaml, &[]);
        assert!(status == Some(code) && error.contains(what), "{status:?} {error}");
    }
    let apns = "services: [{conf: {apns: {token: {key: none.p8, keyId: ABC123DEFG, teamId: DEF123GHIJ}}}}]";
    let (status, error) = run(apns, &["--apns-topic", "a.b"]);
    assert!(status == Some(3) && error.contains("apns.default.key_file"), "{error}");
    let (status, error) = run("services: []", &["--config", "x.toml"]);
    assert!(status == Some(2) && error.contains("cannot be used with"), "{error}");
}
