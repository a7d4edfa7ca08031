//! What operators are given to watch it: rules, alerts, a runbook and the list of metrics, tried with a real Prometheus in front of a real server.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use reveille_sandbox::init;
use reveille_testkit::{
    Client, Dir, Server, free_port, free_ports, is_written, needs_all, prometheus,
};
use serde_json::{Value, json};

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");
/// How often something is waited for, a second each time.
const PATIENCE: u32 = 60;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What follows a word at the beginning of a line.
fn after<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.trim_start().strip_prefix(word)).map(str::trim)
}

fn succeeds(output: &Output) {
    let (said, failed) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{failed}");
}

#[test]
fn every_alert_fires_where_it_should_and_has_its_paragraph() {
    let Some(prometheus) = prometheus() else {
        println!("{}", needs_all("the rules for Prometheus"));
        return;
    };
    let promtool = Path::new(&prometheus).with_file_name("promtool");
    let folder = root().join("deploy/prometheus");
    let files =
        [["check", "rules.yml"], ["test", "rules.test.yml"], ["test", "rules.slow.test.yml"]];
    for [what, file] in files {
        let mut promtool = Command::new(&promtool);
        succeeds(&promtool.args([what, "rules", file]).current_dir(&folder).output().unwrap());
    }
    let rules = read("deploy/prometheus/rules.yml");
    let alerts: BTreeSet<&str> = after(&rules, "- alert: ").collect();
    assert!(alerts.len() >= 30, "{alerts:?}");
    let cases = ["rules.test.yml", "rules.slow.test.yml"]
        .map(|file| read(&format!("deploy/prometheus/{file}")))
        .join("\n");
    let cases: BTreeSet<&str> =
        after(&cases, "- name: ").filter(|name| *name != "all is well").collect();
    assert_eq!(alerts, cases, "each has its case");
    let runbook = read("docs/runbook.md");
    assert_eq!(alerts, after(&runbook, "## ").collect(), "each has its paragraph");
    let links: BTreeSet<String> =
        after(&rules, "runbook: docs/runbook.md#").map(str::to_owned).collect();
    let anchors: BTreeSet<String> = alerts.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(links, anchors, "and leads there");
}

/// Of each metric its kind, its unit and what it is.
type Described = BTreeMap<String, (&'static str, Option<Unit>, SharedString)>;

/// What metrics are said to be.
#[derive(Default)]
struct Descriptions(Mutex<Described>);

impl Descriptions {
    fn add(&self, kind: &'static str, key: &KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.lock().unwrap().insert(key.as_str().to_owned(), (kind, unit, text));
    }
}

impl Recorder for Descriptions {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.add("counter", &key, unit, text);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.add("gauge", &key, unit, text);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.add("histogram", &key, unit, text);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn described(describe: fn()) -> Described {
    let descriptions = Descriptions::default();
    with_local_recorder(&descriptions, describe);
    descriptions.0.into_inner().unwrap()
}

/// `docs/metrics.md` as the code has it.
fn metrics_page() -> String {
    let mut page = concat!(
        "# Metrics\n\n",
        "Written from the code (`cargo xtask docs`). What they mean together, and which are worth an alert, is in [operations.md](operations.md#metrics);\n",
        "objectives are in [slo.md](slo.md), alerts in [runbook.md](runbook.md). A histogram `x` is scraped as `x_bucket`, `x_sum` and `x_count`.\n",
    )
    .to_owned();
    for (title, describe) in [
        ("Push server", reveille_push::describe_metrics as fn()),
        ("Session store", reveille_sessions::describe_metrics),
    ] {
        write!(page, "\n## {title}\n\n| metric | kind | what |\n|---|---|---|\n").unwrap();
        for (name, (kind, unit, text)) in described(describe) {
            let unit = unit.map(|unit| format!(", {}", unit.as_str())).unwrap_or_default();
            let text = text.trim_end_matches('.');
            writeln!(page, "| `{name}` | {kind}{unit} | {text} |").unwrap();
        }
    }
    page
}

#[test]
fn the_list_of_metrics_is_what_the_code_says() {
    is_written(&root().join("docs/metrics.md"), &metrics_page());
}

#[test]
fn rules_and_objectives_speak_of_metrics_that_there_are() {
    let page = metrics_page();
    let known: BTreeSet<&str> =
        after(&page, "| `").filter_map(|line| line.split('`').next()).collect();
    let spoken = [
        "deploy/prometheus/rules.yml",
        "deploy/grafana/reveille.json",
        "docs/slo.md",
        "docs/runbook.md",
    ]
    .map(read)
    .join("\n");
    let words = spoken.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let mut metrics = 0;
    for word in words.filter(|word| word.starts_with("reveille_") && word.len() > 15) {
        let parts = ["_bucket", "_sum", "_count"];
        let name = parts.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word);
        let begins = |name: &str| known.iter().any(|known| known.starts_with(name));
        // In the runbook some are named by their beginning.
        assert!(known.contains(name) || begins(word.trim_end_matches('_')), "{word}");
        metrics += 1;
    }
    assert!(metrics > 100, "{metrics} are too few");
}

/// A push server, a session store and a sandbox.
struct Rig {
    dir: Dir,
    config: PathBuf,
    intake: u16,
    sessions: u16,
    sandbox: Client,
    push: Server,
    _servers: [Server; 2],
}

impl Rig {
    async fn start() -> Self {
        let (dir, ports, sessions) = (Dir::new(), free_ports(), free_port());
        let config = init(&dir.join("rig"), ports, 1).unwrap();
        let text = std::fs::read_to_string(&config).unwrap();
        let section = format!(
            "\n[sessions]\nlisten = \"127.0.0.1:{sessions}\"\nbase_uri = \"/sessions/v1/\"\nstore = \"sqlite:sessions.db\"\n"
        );
        std::fs::write(&config, text + &section).unwrap();
        let start = async |command: &str, said: &str| {
            let words = [command, "--config", config.to_str().unwrap()];
            let mut server = Server::start(Path::new(REVEILLE), &words);
            server.wait_for(said).await;
            server
        };
        let sandbox = start("sandbox", "the sandbox is listening").await;
        let push = start("push", "the push server is listening").await;
        let store = start("sessions", "the session store is listening").await;
        Self {
            dir,
            intake: ports.intake,
            sessions,
            sandbox: Client::new(&format!("http://127.0.0.1:{}", ports.control)),
            push,
            _servers: [sandbox, store],
            config,
        }
    }

    /// A second passes, or something arrives that never does.
    async fn wait(&self) {
        self.sandbox.get("/stats?received_min=1000000&wait_s=1").await;
    }

    /// Something happens to a user with a device, whose push arrives; and somebody's session is written and read.
    async fn use_it(&self) {
        let push = Client::new(&format!("http://127.0.0.1:{}", self.intake));
        let device = json!({"provider": "fcm", "token": "a-token"});
        assert!(push.post("/v1/users/alice/subscriptions", &device).await.status.is_success());
        let body = json!({"users": ["alice"], "type": "mention"});
        assert_eq!(push.post("/v1/notifications", &body).await.status, 202);
        self.sandbox.get("/stats?received_min=1&wait_s=30").await;
        let sessions = Client::new(&format!("http://127.0.0.1:{}", self.sessions));
        assert_eq!(sessions.post("/sessions/v1/key", &json!("value")).await.status, 201);
        assert_eq!(sessions.get("/sessions/v1/key").await.status, 200);
    }
}

/// What selects series: a metric and the labels it is asked for by, wherever that stands in a text.
fn selectors(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    text.split('{').zip(text.split('{').skip(1)).filter_map(|(before, after)| {
        let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let name = &before[before.trim_end_matches(is_of_name).len()..];
        let (inside, _) = after.split_once('}')?;
        let labels = inside.split(',').filter_map(|matcher| {
            let end = matcher.find(['=', '!'])?;
            Some(matcher[..end].trim()).filter(|label| label.chars().all(is_of_name))
        });
        name.contains('_').then(|| (name, labels.collect()))
    })
}

impl Rig {
    /// A selector that asks for a label which its metric has not finds nothing, for ever, and no alert of it fires.
    async fn has_the_labels_that_are_asked_for(&self) {
        let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for port in [self.intake, self.sessions] {
            let scraped = Client::new(&format!("http://127.0.0.1:{port}")).get("/metrics").await;
            let series = scraped.text.lines().filter(|line| !line.starts_with('#'));
            for (name, labels) in series.flat_map(selectors) {
                known
                    .entry(name.to_owned())
                    .or_default()
                    .extend(labels.iter().map(ToString::to_string));
            }
        }
        let own = ["job", "instance", "le"];
        let mut compared = 0;
        for file in ["deploy/prometheus/rules.yml", "deploy/grafana/reveille.json", "docs/slo.md"] {
            for (name, labels) in selectors(&read(file)) {
                let Some(has) = known.get(name) else { continue };
                for label in labels.iter().filter(|label| !own.contains(label)) {
                    assert!(has.contains(*label), "{file}: {name} has {has:?}, and not {label}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 60, "{compared} are too few");
    }
}

#[test]
fn selectors_are_read_as_they_are_meant() {
    let text = "sum by (a) (rate(x_total{b=~\"5..\",c!=\"d\"}[5m])) / y_total{} {{ $labels.e }}";
    let found: Vec<_> = selectors(text).collect();
    assert_eq!(found, [("x_total", vec!["b", "c"]), ("y_total", vec![])]);
}

/// A Prometheus that scrapes both servers each second, and its API.
async fn watch(rig: &Rig, program: &Path) -> (Client, Server) {
    let port = free_port();
    let config = rig.dir.join("prometheus.yml");
    let rules = root().join("deploy/prometheus/rules.yml").canonicalize().unwrap();
    let scrapes = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\nscrape_configs:\n- job_name: reveille-push\n  static_configs: [{{targets: ['127.0.0.1:{}']}}]\n- job_name: reveille-sessions\n  static_configs: [{{targets: ['127.0.0.1:{}']}}]\n",
        rules.display(),
        rig.intake,
        rig.sessions
    );
    std::fs::write(&config, scrapes).unwrap();
    let options = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", rig.dir.join("tsdb").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut server = Server::start(program, &options);
    server.wait_for("Server is ready to receive web requests").await;
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    (client, server)
}

/// The first value of an answer to a query.
fn value(answer: &Value) -> Option<&str> {
    answer["data"]["result"][0]["value"][1].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_sees_what_happens() {
    let Some(program) = prometheus() else {
        println!("{}", needs_all("a real Prometheus"));
        return;
    };
    let mut rig = Rig::start().await;
    let (client, _server) = watch(&rig, Path::new(&program)).await;
    let ask = async |query: &str| client.get(&format!("/api/v1/query?query={query}")).await.json();
    rig.use_it().await;
    let expected = [
        ("sum(up)", "2"),
        ("reveille:ledger:gap", "0"),
        ("reveille_ledger_wakeups{state=\"sent\"}", "1"),
        ("sum(reveille_delivery_lateness_seconds_count)", "1"),
        ("sum(reveille_sessions_requests_total)", "2"),
        ("sum(reveille_subscriptions{state=\"all\"})", "1"),
    ];
    for (query, wanted) in expected {
        let mut looks = 0;
        while value(&ask(query).await) != Some(wanted) {
            looks += 1;
            assert!(looks < PATIENCE, "{query}: {}", ask(query).await);
            rig.wait().await;
        }
    }
    let rules = client.get("/api/v1/rules").await.json();
    let mut evaluated = 0;
    for group in rules["data"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_eq!(rule["health"], "ok", "{rule}");
            evaluated += 1;
        }
    }
    assert!(evaluated > 60, "{evaluated} rules");
    let alerts = client.get("/api/v1/alerts").await.json();
    // Before the first scrape one of them waits to see whether there will be any.
    assert_eq!(firing(&alerts), BTreeSet::new(), "all is well");
    let mut asked = 0;
    for expression in dashboard() {
        let encoded: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let answer = ask(&encoded).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        asked += 1;
    }
    assert!(asked > 40, "{asked} expressions");
    rig.has_the_labels_that_are_asked_for().await;
    // And where it is not, somebody is to be told.
    rig.push.kill();
    let mut looks = 0;
    loop {
        let alerts = client.get("/api/v1/alerts").await.json();
        let names = alerts["data"]["alerts"].as_array().unwrap().iter();
        if names.map(|alert| &alert["labels"]["alertname"]).any(|name| name == "ReveilleDown") {
            break;
        }
        looks += 1;
        assert!(looks < PATIENCE, "{alerts}");
        rig.wait().await;
    }
}

/// The names of alerts of which somebody would be told.
fn firing(alerts: &Value) -> BTreeSet<&str> {
    let alerts = alerts["data"]["alerts"].as_array().unwrap().iter();
    let firing = alerts.filter(|alert| alert["state"] == "firing");
    firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap()).collect()
}

/// What the dashboard asks, of this job and over a minute.
fn dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/reveille.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets
        .map(|target| target["expr"].as_str().unwrap())
        .map(|asked| asked.replace("$job", "reveille.*").replace("$__rate_interval", "1m"))
        .collect()
}

/// The lines of each block of commands.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split_once("```").map(|(block, _)| block));
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_runbook_can_be_run() {
    let rig = Rig::start().await;
    rig.use_it().await;
    let folder = rig.config.parent().unwrap();
    let programs = Path::new(REVEILLE).parent().unwrap().display().to_string();
    let commands = commands(&read("docs/runbook.md"));
    assert!(commands.len() > 30, "{} commands", commands.len());
    let commands: BTreeSet<String> = commands.into_iter().collect();
    for command in commands {
        let here = command
            .replace(":8900/", &format!(":{}/", rig.intake))
            .replace(":8081/", &format!(":{}/", rig.sessions));
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("PATH=\"{programs}:$PATH\"; {here}")]).current_dir(folder);
        shell.env("REVEILLE_URL", format!("http://127.0.0.1:{}", rig.intake));
        let done = shell.output().unwrap();
        // Where there is nothing to be seen grep says so.
        let sees_nothing = command.contains("| grep ") && done.status.code() == Some(1);
        if !(sees_nothing && done.stderr.is_empty()) {
            println!("{command}");
            succeeds(&done);
        }
    }
}

/// What is written and what is to be written are the same recorder's.
#[test]
fn descriptions_are_heard() {
    let heard = Arc::new(described(|| metrics::describe_counter!("a_total", Unit::Bytes, "x")));
    assert_eq!(heard["a_total"].0, "counter");
    assert_eq!(heard["a_total"].1, Some(Unit::Bytes));
}
