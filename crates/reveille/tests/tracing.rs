//! Traces of real servers, as a collector reads them that is none of ours: what is in one, and what is not.
#![cfg(test)]

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use http::Method;
use reveille_sandbox::{Ports, init, init_with_cohorts};
use reveille_testkit::{Client, Dir, Server, free_port, free_ports, needs_all, python};
use serde_json::{Value, json};

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");
/// In every user, token, body, key and header, to be looked for in what the collector gets.
const MARK: &str = "mArKeD";
const PUSHING: &str = "the push server is listening";
/// The span of a caller.
const PARENT: &str = "b7ad6b7169203331";
/// How often `/metrics` is asked until it says something.
const LOOKS_MAX: u32 = 100_000;

/// The trace of a number.
fn trace(number: u8) -> String {
    format!("{number:032x}")
}

/// What a caller says of it.
fn traceparent(number: u8, flags: &str) -> String {
    format!("00-{}-{PARENT}-{flags}", trace(number))
}

/// A collector, and what it got.
struct Collector {
    server: Server,
    port: u16,
    dir: Dir,
}

impl Collector {
    async fn start(python: &OsString, more: &[&str]) -> Self {
        let (dir, port) = (Dir::new(), free_port());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/collector.py");
        let (at, bodies) = (port.to_string(), dir.join("bodies"));
        let arguments = [&[script, &at, bodies.to_str().unwrap()], more].concat();
        let mut server = Server::start(Path::new(python), &arguments);
        server.wait_for("the collector is listening").await;
        Self { server, port, dir }
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every span that it got, and the bytes. Whoever sends has ended.
    async fn end(mut self) -> (Vec<Value>, String) {
        self.server.signal("TERM");
        self.server.wait_for_end().await;
        let spans: Vec<Value> = self.server.log()[1..]
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect();
        let bytes = std::fs::read(self.dir.join("bodies")).unwrap_or_default();
        (spans, String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Starts a server of ours; `environment` is what it is told of traces.
async fn start(command: &str, config: &Path, environment: &[(&str, &str)], says: &str) -> Server {
    let arguments = [command, "--config", config.to_str().unwrap()];
    let mut server = Server::start_with(Path::new(REVEILLE), &arguments, environment);
    server.wait_for(says).await;
    server
}

fn client(port: u16) -> Client {
    Client::new(&format!("http://127.0.0.1:{port}"))
}

fn named<'a>(spans: &'a [Value], name: &str) -> Vec<&'a Value> {
    spans.iter().filter(|span| span["name"] == name).collect()
}

fn of_trace(spans: &[Value], number: u8) -> Vec<&Value> {
    spans.iter().filter(|span| span["trace"] == trace(number)).collect()
}

fn assert_unmarked(bytes: &str) {
    assert!(!bytes.contains(MARK), "{bytes}");
}

/// Asks at both APIs, with marks wherever a caller or a device can put one. Two devices are woken.
async fn ask(ports: Ports) {
    let (intake, public) = (client(ports.intake), client(ports.public));
    let (sampled, unsampled) = (traceparent(1, "01"), traceparent(2, "00"));
    let of_user = format!("/v1/users/{MARK}-1/subscriptions?{MARK}");
    for device in ["phone", "tablet"] {
        let device = json!({"provider": "fcm", "token": format!("{MARK}-{device}")});
        let headers = [("traceparent", unsampled.as_str()), ("content-type", "application/json")];
        let put = intake.call(Method::POST, &of_user, &headers, device.to_string().into());
        assert_eq!(put.await.status, 201);
    }
    let body = json!({"users": [format!("{MARK}-1")], "type": MARK, "content": {"text": MARK}});
    let headers = [
        ("traceparent", sampled.as_str()),
        ("tracestate", "mArKeD=mArKeD"),
        ("baggage", "user=mArKeD"),
        ("idempotency-key", MARK),
        ("x-request-id", MARK),
        ("user-agent", MARK),
        ("content-type", "application/json"),
    ];
    let accepted =
        intake.call(Method::POST, "/v1/notifications", &headers, body.to_string().into());
    assert_eq!(accepted.await.status, 202);
    let stranger = traceparent(3, "01");
    let headers = [("traceparent", stranger.as_str()), ("authorization", "Bearer mArKeD")];
    for path in ["/v1/inbox?mArKeD", "/mArKeD"] {
        public.call(Method::GET, path, &headers, Vec::new()).await;
    }
    let method = Method::from_bytes(MARK.as_bytes()).unwrap();
    assert_eq!(intake.call(method, "/mArKeD", &[], Vec::new()).await.status, 404);
}

#[tokio::test]
async fn a_trace_tells_of_requests_and_batches_and_of_nobody() {
    let Some(python) = python() else { return println!("{}", needs_all("a collector in Python")) };
    let (dir, ports) = (Dir::new(), free_ports());
    let collector = Collector::start(&python, &[]).await;
    let config = init(&dir.join("rig"), ports, 1).unwrap();
    std::fs::write(dir.join("headers"), "Authorization: Bearer of-the-collector\n").unwrap();
    let (endpoint, headers) = (collector.endpoint(), dir.join("headers").display().to_string());
    let environment = [
        ("REVEILLE_TRACING__ENDPOINT", endpoint.as_str()),
        ("REVEILLE_TRACING__SAMPLE_RATIO", "1.0"),
        ("REVEILLE_TRACING__HEADERS_FILE", headers.as_str()),
    ];
    let mut sandbox = start("sandbox", &config, &[], "the sandbox is listening").await;
    let mut push = start("push", &config, &environment, PUSHING).await;
    ask(ports).await;
    let received = client(ports.control).get("/received?received_min=2&wait_s=60").await;
    assert_eq!(received.text.matches("traceparent").count(), 0, "no provider hears of a trace");
    assert_eq!(push.terminate(), Some(0));
    sandbox.terminate();
    let (spans, bytes) = collector.end().await;
    assert_unmarked(&bytes);
    assert!(!push.log().join("\n").contains("of-the-collector"));
    assert_requests(&spans);
    assert_batches(&spans);
    for span in &spans {
        assert_eq!(span["authorization"], "Bearer of-the-collector");
        let resource = &span["resource"];
        assert_eq!(resource["service.name"], "reveille-push");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(resource["service.instance.id"].as_str().unwrap().len(), 36);
        assert_eq!(resource["telemetry.sdk.language"], "rust");
        let empty = (&span["links"], &span["events"], &span["state"], &span["message"]);
        assert_eq!(empty, (&json!(0), &json!(0), &json!(""), &json!("")), "{span}");
    }
}

fn assert_requests(spans: &[Value]) {
    let [accepted] = of_trace(spans, 1)[..] else { panic!("one span of the caller: {spans:?}") };
    assert_eq!(accepted["name"], "POST /v1/notifications");
    assert_eq!(
        (&accepted["parent"], &accepted["kind"]),
        (&json!(PARENT), &json!("SPAN_KIND_SERVER"))
    );
    // Sampled, and of a parent that is known to be elsewhere.
    assert_eq!(accepted["flags"], 0x301);
    let attributes = json!({
        "http.request.method": "POST",
        "http.route": "/v1/notifications",
        "http.response.status_code": 202,
    });
    assert_eq!(accepted["attributes"], attributes);
    assert!(accepted["ns"].as_i64().unwrap() > 0);
    assert!(of_trace(spans, 2).is_empty(), "the caller has decided so");
    assert!(of_trace(spans, 3).is_empty(), "a stranger");
    assert!(named(spans, "POST /v1/users/{user}/subscriptions").is_empty(), "of trace 2");
    let [inbox] = named(spans, "GET /v1/inbox")[..] else { panic!("{spans:?}") };
    assert_eq!(inbox["parent"], "", "it begins a trace of its own");
    assert_eq!(inbox["attributes"]["http.response.status_code"], 401);
    assert_eq!(inbox["status"], "STATUS_CODE_UNSET", "not our error");
    let [elsewhere] = named(spans, "GET")[..] else { panic!("{spans:?}") };
    assert!(elsewhere["attributes"].get("http.route").is_none());
    let [odd] = named(spans, "HTTP")[..] else { panic!("{spans:?}") };
    assert_eq!(odd["attributes"]["http.request.method"], "_OTHER");
}

fn assert_batches(spans: &[Value]) {
    let releases = named(spans, "window.release");
    let of_two = |span: &&&Value| span["attributes"]["reveille.wakeups"] == 2;
    let release = releases.iter().find(of_two).expect("the window of both");
    assert_eq!(release["attributes"], json!({"reveille.wakeups": 2, "reveille.collapsed": 0}));
    assert_eq!((&release["parent"], &release["kind"]), (&json!(""), &json!("SPAN_KIND_INTERNAL")));
    let inside = spans.iter().filter(|span| span["trace"] == release["trace"]);
    let mut names: Vec<&str> = inside.clone().map(|span| span["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["close", "expand", "window.release"]);
    assert!(inside.filter(|span| span["parent"] != "").all(|span| span["parent"] == release["id"]));
    for (name, count) in [("claim", "reveille.wakeups"), ("settle", "reveille.wakeups")] {
        let of_set = |span: &&&Value| span["attributes"]["reveille.set"] == "fcm.default";
        let counts = named(spans, name);
        let counts = counts.iter().filter(of_set).map(|span| span["attributes"][count].as_u64());
        assert_eq!(counts.map(Option::unwrap).sum::<u64>(), 2, "{name}");
    }
    let [sent] = named(spans, "send")[..] else { panic!("{spans:?}") };
    let attributes = json!({
        "reveille.set": "fcm.default",
        "reveille.pushes": 2,
        "reveille.answers.accepted": 2,
    });
    assert_eq!(sent["attributes"], attributes);
    let batches = ["window.release", "claim", "settle", "send"];
    for span in spans.iter().filter(|span| batches.contains(&span["name"].as_str().unwrap())) {
        assert_eq!(span["parent"], "", "linked to nothing");
        assert_ne!(span["trace"], trace(1));
    }
}

#[tokio::test]
async fn only_callers_that_are_let_in_decide_what_is_taken() {
    let Some(python) = python() else { return println!("{}", needs_all("a collector in Python")) };
    let (dir, ports) = (Dir::new(), free_ports());
    let collector = Collector::start(&python, &[]).await;
    let config = init(&dir.join("rig"), ports, 1).unwrap();
    std::fs::write(dir.join("tokens"), "the-token-of-a-caller\n").unwrap();
    let (endpoint, tokens) = (collector.endpoint(), dir.join("tokens").display().to_string());
    let environment = [
        ("REVEILLE_TRACING__ENDPOINT", endpoint.as_str()),
        ("REVEILLE_TRACING__SAMPLE_RATIO", "0"),
        ("REVEILLE_PUSH__INTAKE__TOKENS_FILE", tokens.as_str()),
    ];
    let mut push = start("push", &config, &environment, PUSHING).await;
    let (intake, public) = (client(ports.intake), client(ports.public));
    let get = async |client: &Client, number: u8, flags: &str, token: &str| {
        let (parent, token) = (traceparent(number, flags), format!("Bearer {token}"));
        let headers = [("traceparent", parent.as_str()), ("authorization", token.as_str())];
        client.call(Method::GET, "/v1/pause", &headers, Vec::new()).await.status.as_u16()
    };
    assert_eq!(get(&intake, 1, "01", "the-token-of-a-caller").await, 200);
    assert_eq!(get(&intake, 2, "00", "the-token-of-a-caller").await, 200);
    assert_eq!(get(&intake, 3, "01", "the-token-of-nobody").await, 401);
    assert_eq!(get(&public, 4, "01", "the-token-of-a-caller").await, 404);
    intake.get("/healthz").await;
    assert_eq!(push.terminate(), Some(0));
    let (spans, _) = collector.end().await;
    let [span] = &spans[..] else { panic!("one span: {spans:?}") };
    assert_eq!((&span["trace"], &span["name"]), (&json!(trace(1)), &json!("GET /v1/pause")));
}

#[tokio::test]
async fn without_the_section_nothing_is_sent() {
    let Some(python) = python() else { return println!("{}", needs_all("a collector in Python")) };
    let (dir, ports) = (Dir::new(), free_ports());
    let collector = Collector::start(&python, &[]).await;
    let config = init(&dir.join("rig"), ports, 1).unwrap();
    let endpoint = collector.endpoint();
    // What other programs listen to.
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_TRACES_SAMPLER", "always_on")];
    let mut push = start("push", &config, &environment, PUSHING).await;
    let headers = [("traceparent", traceparent(1, "01"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let intake = client(ports.intake);
    assert_eq!(intake.call(Method::GET, "/v1/pause", &headers, Vec::new()).await.status, 200);
    assert!(!intake.get("/metrics").await.text.contains("reveille_trace_spans_total{"));
    assert_eq!(push.terminate(), Some(0));
    let (spans, bytes) = collector.end().await;
    assert_eq!((spans.len(), bytes.as_str()), (0, ""));
}

#[tokio::test]
async fn cohorts_are_mustered_in_a_part_of_their_release() {
    let Some(python) = python() else { return println!("{}", needs_all("a collector in Python")) };
    let (dir, ports) = (Dir::new(), free_ports());
    let mut collector = Collector::start(&python, &[]).await;
    let config = init_with_cohorts(&dir.join("rig"), ports, 1).unwrap();
    let endpoint = collector.endpoint();
    let environment = [
        ("REVEILLE_TRACING__ENDPOINT", endpoint.as_str()),
        ("REVEILLE_TRACING__SAMPLE_RATIO", "1"),
    ];
    let mut push = start("push", &config, &environment, PUSHING).await;
    collector.server.wait_for("\"muster\"").await;
    assert_eq!(push.terminate(), Some(0));
    let (spans, _) = collector.end().await;
    let mustering = named(&spans, "muster");
    let releases = named(&spans, "window.release");
    for span in mustering {
        assert!(releases.iter().any(|release| release["id"] == span["parent"]));
        assert_eq!(span["attributes"], json!({}));
    }
}

#[tokio::test]
async fn a_session_store_is_traced_and_names_no_key() {
    let Some(python) = python() else { return println!("{}", needs_all("a collector in Python")) };
    let (dir, port) = (Dir::new(), free_port());
    let collector = Collector::start(&python, &[]).await;
    let config = dir.join("reveille.toml");
    let text = format!(
        "[sessions]\nlisten = \"127.0.0.1:{port}\"\nstore = \"sqlite:sessions.db\"\n[tracing]\nendpoint = \"{}\"\nsample_ratio = 1.0\n",
        collector.endpoint()
    );
    std::fs::write(&config, text).unwrap();
    let mut sessions = start("sessions", &config, &[], "the session store is listening").await;
    let (client, parent) = (client(port), traceparent(1, "01"));
    let path = format!("/sessions/v1/{MARK}/key");
    let headers = [("traceparent", parent.as_str())];
    let written = client.call(Method::POST, &path, &headers, MARK.as_bytes().to_vec());
    assert_eq!(written.await.status, 201);
    assert_eq!(client.get(&path).await.text, MARK);
    assert_eq!(client.get(&format!("/elsewhere/{MARK}")).await.status, 404);
    client.get("/readyz").await;
    assert_eq!(sessions.terminate(), Some(0));
    let (spans, bytes) = collector.end().await;
    assert_unmarked(&bytes);
    let [written] = of_trace(&spans, 1)[..] else { panic!("{spans:?}") };
    assert_eq!(written["name"], "POST /sessions/v1/{key}");
    assert_eq!(written["parent"], PARENT);
    assert_eq!(written["attributes"]["http.response.status_code"], 201);
    assert_eq!(written["resource"]["service.name"], "reveille-sessions");
    let mut names: Vec<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    let expected = ["GET", "GET /readyz", "GET /sessions/v1/{key}", "POST /sessions/v1/{key}"];
    assert_eq!(names, expected);
}

/// Asks until so many spans were lost; each look is one more.
async fn lose(client: &Client, spans: u64) -> u64 {
    for _ in 0..LOOKS_MAX {
        let metrics = client.get("/metrics").await;
        assert_eq!(metrics.status, 200);
        let name = "reveille_trace_spans_total{result=\"lost\"} ";
        let line = metrics.text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let lost = line.parse().unwrap();
        if lost >= spans {
            return lost;
        }
    }
    panic!("fewer than {spans} spans were lost");
}

#[tokio::test]
async fn a_collector_that_is_down_changes_nothing_and_is_spoken_of_once_a_minute() {
    let (dir, ports) = (Dir::new(), free_ports());
    let config = init(&dir.join("rig"), ports, 1).unwrap();
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let environment = [
        ("REVEILLE_TRACING__ENDPOINT", endpoint.as_str()),
        ("REVEILLE_TRACING__SAMPLE_RATIO", "1"),
    ];
    let mut push = start("push", &config, &environment, PUSHING).await;
    let intake = client(ports.intake);
    let lost = lose(&intake, 1).await;
    // Another batch of them.
    lose(&intake, lost + 1).await;
    assert_eq!(push.terminate(), Some(0));
    let log = push.log();
    let told: Vec<&String> = log.iter().filter(|line| line.contains("spans do not")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("it cannot be reached"), "{told:?}");
}

#[tokio::test]
async fn a_collector_that_hangs_delays_a_stop_by_a_bounded_time() {
    let (dir, ports) = (Dir::new(), free_ports());
    let config = init(&dir.join("rig"), ports, 1).unwrap();
    // The kernel takes the connection, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let environment = [
        ("REVEILLE_TRACING__ENDPOINT", endpoint.as_str()),
        ("REVEILLE_TRACING__SAMPLE_RATIO", "1"),
    ];
    let mut push = start("push", &config, &environment, PUSHING).await;
    assert_eq!(client(ports.intake).get("/readyz").await.status, 200);
    push.signal("TERM");
    push.wait_for("the last spans are lost").await;
    assert_eq!(push.wait_for_end().await, Some(0));
}

#[tokio::test]
async fn what_a_collector_rejects_is_counted_as_lost() {
    let Some(python) = python() else { return println!("{}", needs_all("a collector in Python")) };
    let (dir, ports) = (Dir::new(), free_ports());
    let collector = Collector::start(&python, &["rejects"]).await;
    let config = init(&dir.join("rig"), ports, 1).unwrap();
    let endpoint = collector.endpoint();
    let environment = [
        ("REVEILLE_TRACING__ENDPOINT", endpoint.as_str()),
        ("REVEILLE_TRACING__SAMPLE_RATIO", "1"),
    ];
    let mut push = start("push", &config, &environment, PUSHING).await;
    lose(&client(ports.intake), 1).await;
    assert_eq!(push.terminate(), Some(0));
    assert!(!push.log().join("\n").contains("no room"), "its words are not repeated");
}

#[test]
fn a_check_says_what_is_wrong_with_the_section() {
    let dir = Dir::new();
    let config = init(&dir.join("rig"), free_ports(), 1).unwrap();
    let wrong = [
        ("REVEILLE_TRACING__ENDPOINT", "collector:4318"),
        ("REVEILLE_TRACING__SAMPLE_RATIO", "1.5"),
        ("REVEILLE_TRACING__SAMPLING", "1"),
    ];
    let mut check = Command::new(REVEILLE);
    let output = check.args(["check", "--config"]).arg(&config).envs(wrong).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for path in ["tracing.endpoint: ", "tracing.sample_ratio: ", "tracing.sampling: "] {
        assert_eq!(said.matches(path).count(), 1, "{said}");
    }
}
