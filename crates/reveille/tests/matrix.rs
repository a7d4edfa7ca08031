//! The fault matrix for real: the binary, SQLite, TLS and a sandbox in trouble. One provider has the trouble; the two others must have
//! everything before it is over, and afterwards nothing may be missing and nobody dropped. The simulation runs the same cells in virtual
//! time (`crates/push/tests/simulation/matrix.rs`).
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use reveille_sandbox::init;
use reveille_testkit::{Client, Dir, Server, free_ports};
use serde_json::{Value, json};

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");
const PROVIDERS: [&str; 3] = ["apns", "fcm", "webpush"];
const USERS: usize = 10;
/// Longest wait for pushes, in seconds.
const PATIENCE_S: u32 = 90;

/// The cells: a name, and the faults that are posted for the provider in trouble. Those of the way to a provider begin by closing the
/// connection there is.
fn cells() -> Vec<(&'static str, Vec<Value>)> {
    let close = || json!({"reply": "close", "count": 1});
    vec![
        ("429", vec![json!({"reply": "throttled"})]),
        ("429 with Retry-After", vec![json!({"reply": "throttled", "retry_after_s": 1})]),
        ("429 of each device", vec![json!({"reply": "device_throttled"})]),
        ("503", vec![json!({"reply": "unavailable"})]),
        ("500", vec![json!({"reply": "internal"})]),
        ("403", vec![json!({"reply": "permission_denied"})]),
        ("refused", vec![close(), json!({"reply": "refuse_connection"})]),
        ("reset", vec![json!({"reply": "reset"})]),
        ("GOAWAY at once", vec![json!({"reply": "goaway"})]),
        ("GOAWAY in two phases", vec![json!({"reply": "goaway_graceful", "count": 3})]),
        ("slow TLS", vec![close(), json!({"reply": "slow_tls", "delay_ms": 2_000})]),
        ("stall", vec![json!({"reply": "stall", "count": 2})]),
    ]
}

struct Rig {
    config: PathBuf,
    push: Client,
    sandbox: Client,
    /// Whose devices the cell's pushes are for.
    tokens: BTreeSet<(String, String)>,
    server: Option<Server>,
    _sandbox: Server,
    _dir: Dir,
}

impl Rig {
    async fn start() -> Self {
        let dir = Dir::new();
        let ports = free_ports();
        let config = init(&dir.join("rig"), ports, 1).unwrap();
        // Each cell breaks connections; Apple would not like so many in a minute, the sandbox does not mind.
        let text = std::fs::read_to_string(&config).unwrap();
        // A name that does not exist must be one we may send to.
        let text = text.replace("[webpush]\n", "[webpush]\nallow_hosts = [\"invalid\"]\n");
        let text =
            text.replace("endpoint = \"", "connections_per_minute_max = 6000\nendpoint = \"");
        std::fs::write(&config, text).unwrap();
        let mut sandbox =
            Server::start(Path::new(REVEILLE), &["sandbox", "--config", config.to_str().unwrap()]);
        sandbox.wait_for("the sandbox is listening").await;
        let client = |port| Client::new(&format!("http://127.0.0.1:{port}"));
        let mut rig = Self {
            config,
            push: client(ports.intake),
            sandbox: client(ports.control),
            tokens: BTreeSet::new(),
            server: None,
            _sandbox: sandbox,
            _dir: dir,
        };
        rig.start_push(&rig.config.clone()).await;
        for user in 0..USERS {
            rig.register(user).await;
        }
        rig
    }

    async fn start_push(&mut self, config: &Path) {
        self.server = None;
        let arguments = ["push", "--config", config.to_str().unwrap()];
        let mut server = Server::start(Path::new(REVEILLE), &arguments);
        server.wait_for("the push server is listening").await;
        self.server = Some(server);
    }

    async fn register(&mut self, user: usize) {
        let (iphone, phone, browser) =
            (format!("{:064x}", user + 1), format!("phone-{user}"), format!("browser-{user}"));
        let style = ["mozilla", "google", "apple", "up"][user % 4];
        let subscription =
            self.sandbox.post("/subscriptions", &json!({"token": browser, "style": style})).await;
        let devices = [
            json!({"provider": "apns", "token": iphone, "topic": "org.wikimedia.wikipedia"}),
            json!({"provider": "fcm", "token": phone}),
            json!({"provider": "webpush", "subscription": subscription.json()}),
        ];
        for device in devices {
            let path = format!("/v1/users/user-{user}/subscriptions");
            let answer = self.push.post(&path, &device).await;
            assert_eq!(answer.status, 201, "{}", answer.text);
        }
        for (provider, token) in PROVIDERS.into_iter().zip([iphone, phone, browser]) {
            self.tokens.insert((provider.to_owned(), token));
        }
    }

    async fn notify_all(&self) {
        let users: Vec<String> = (0..USERS).map(|user| format!("user-{user}")).collect();
        let body = json!({"users": users, "type": "mention"});
        assert_eq!(self.push.post("/v1/notifications", &body).await.status, 202);
    }

    /// Waits until every device of these providers has got a push that was answered with success.
    async fn all_reached(&self, providers: &[&str]) -> bool {
        let expected: BTreeSet<&(String, String)> = self
            .tokens
            .iter()
            .filter(|(provider, _)| providers.contains(&provider.as_str()))
            .collect();
        let mut received = 0;
        loop {
            let path = format!("/received?received_min={}&wait_s={PATIENCE_S}", received + 1);
            let lines = self.sandbox.get(&path).await.text;
            let count = lines.lines().count();
            let reached: BTreeSet<(String, String)> = lines
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .filter(|push| {
                    ["200", "201"].contains(&push["answer"].as_str().unwrap_or_default())
                })
                .map(|push| {
                    let text = |name: &str| push[name].as_str().unwrap().to_owned();
                    (text("provider"), text("token"))
                })
                .collect();
            if expected.iter().all(|each| reached.contains(*each)) {
                return true;
            }
            if count <= received {
                return false;
            }
            received = count;
        }
    }

    async fn everybody_is_still_there(&self, cell: &str) {
        for user in 0..USERS {
            let path = format!("/v1/users/user-{user}/subscriptions");
            let devices = self.push.get(&path).await.json();
            assert_eq!(devices.as_array().unwrap().len(), 3, "{cell}: a live device was dropped");
        }
        let quarantined = self.push.get("/v1/quarantine").await.json();
        assert_eq!(quarantined["count"], 0, "{cell}: {quarantined}");
    }

    async fn cell(&self, provider: &str, (name, faults): (&str, Vec<Value>)) {
        let others: Vec<&str> = PROVIDERS.into_iter().filter(|other| *other != provider).collect();
        self.sandbox.delete("/received").await;
        for mut fault in faults {
            fault["provider"] = provider.into();
            let posted = self.sandbox.post("/faults", &fault).await;
            assert_eq!(posted.status, 201, "{}", posted.text);
        }
        self.notify_all().await;
        assert!(
            self.all_reached(&others).await,
            "{provider} {name}: another provider waits for it"
        );
        self.sandbox.delete("/faults").await;
        assert!(self.all_reached(&[provider]).await, "{provider} {name}: something is lost");
        self.everybody_is_still_there(name).await;
        println!("{provider} {name}: nothing lost, nobody dropped, the others undelayed");
    }
}

async fn matrix_of(provider: &str) {
    let mut rig = Rig::start().await;
    for cell in cells() {
        rig.cell(provider, cell).await;
    }
    dns_failure(&mut rig, provider).await;
    // The whole of it fits.
    let metrics = rig.push.get("/metrics").await.text;
    let ledger = |state: &str| -> u64 {
        let name = format!("reveille_ledger_wakeups{{state=\"{state}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    };
    assert_eq!(ledger("accepted"), ledger("sent") + ledger("collapsed") + ledger("waiting"));
}

/// The provider's name cannot be resolved; after a restart with the right one, what waited arrives.
async fn dns_failure(rig: &mut Rig, provider: &str) {
    let others: Vec<&str> = PROVIDERS.into_iter().filter(|other| *other != provider).collect();
    if provider == "webpush" {
        return endpoints_at_a_name_that_is_gone(rig).await;
    }
    let text = std::fs::read_to_string(&rig.config).unwrap();
    let section = text.find(&format!("[{provider}.")).unwrap();
    let (before, after) = text.split_at(section);
    let broken = format!(
        "{before}{}",
        after.replacen("endpoint = \"https://127.0.0.1", "endpoint = \"https://nowhere.invalid", 1)
    );
    let file = rig.config.with_file_name("nowhere.toml");
    std::fs::write(&file, broken).unwrap();
    rig.start_push(&file).await;
    rig.sandbox.delete("/received").await;
    rig.notify_all().await;
    assert!(rig.all_reached(&others).await, "{provider} DNS failure: another waits for it");
    rig.start_push(&rig.config.clone()).await;
    assert!(rig.all_reached(&[provider]).await, "{provider} DNS failure: something is lost");
    rig.everybody_is_still_there("DNS failure").await;
    println!("{provider} DNS failure: nothing lost, nobody dropped, the others undelayed");
}

/// Browsers name their push services themselves. Those at a name that does not exist wait; everybody else has everything.
async fn endpoints_at_a_name_that_is_gone(rig: &mut Rig) {
    let keys = rig.sandbox.post("/subscriptions", &json!({"token": "gone", "style": "up"})).await;
    let mut subscription = keys.json();
    for number in 0..5 {
        subscription["endpoint"] = format!("https://nowhere-{number}.invalid/up").into();
        let device = json!({"provider": "webpush", "subscription": subscription});
        let answer = rig.push.post("/v1/users/user-gone/subscriptions", &device).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    let body = json!({"users": ["user-gone"], "type": "mention"});
    assert_eq!(rig.push.post("/v1/notifications", &body).await.status, 202);
    rig.sandbox.delete("/received").await;
    rig.notify_all().await;
    assert!(rig.all_reached(&PROVIDERS).await, "webpush DNS failure: another waits for it");
    let devices = rig.push.get("/v1/users/user-gone/subscriptions").await.json();
    assert_eq!(
        devices.as_array().unwrap().len(),
        5,
        "nobody is dropped for a name that is gone today"
    );
    rig.everybody_is_still_there("DNS failure").await;
    println!("webpush DNS failure: nothing lost, nobody dropped, the others undelayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apns_in_trouble_loses_drops_and_delays_nothing() {
    matrix_of("apns").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fcm_in_trouble_loses_drops_and_delays_nothing() {
    matrix_of("fcm").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_push_in_trouble_loses_drops_and_delays_nothing() {
    matrix_of("webpush").await;
}
