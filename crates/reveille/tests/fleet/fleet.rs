//! Nodes of one push service: a process each, with one configuration, one database and one sandbox.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use reveille_model::Rng;
use reveille_sandbox::{init, init_with_cohorts};
use reveille_testkit::{Client, Dir, Galera, MariaDb, Server, free_port, free_ports};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");
/// Stands in every token and user; must stand in no log line.
pub(crate) const MARK: &str = "PLANTED";
/// The same in an APNs token.
const MARK_HEX: &str = "504c414e544544";
/// How many of its last lines a node is shown with.
const LAST_LINES: usize = 30;
/// How long to wait for one more push to arrive, in seconds, before giving up.
const PATIENCE_S: u32 = 60;

/// What the configuration has besides, before `[push.mix]`.
const SECTIONS: &str = r#"[push.mariadb]
password_file = "db.password"
transaction_timeout_ms = 8000

[push.limits.edit-user-talk]
count = 3
per_s = 3600

[push.mix]"#;

const BUDGET: &str = "[push.mix]\nwakeups_per_device_day_max = 1440\n";

/// A node: its address, and its process while it runs.
pub(crate) struct Node {
    port: u16,
    pub(crate) client: Client,
    pub(crate) server: Option<Server>,
}

/// All of them.
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Node>,
    pub(crate) sandbox: Client,
    pub(crate) database: Database,
    config: PathBuf,
    /// Tokens of accepted wake-ups, each used once.
    accepted: Arc<Mutex<BTreeSet<String>>>,
    next: u64,
    logs: Vec<String>,
    _sandbox: Server,
    _dir: Dir,
}

/// What the nodes share.
pub(crate) enum Database {
    One(MariaDb),
    /// Each node has a server of its own.
    Cluster(Galera),
}

impl Database {
    fn url(&self, node: usize) -> String {
        match self {
            Self::One(server) => server.url(),
            Self::Cluster(servers) => servers.url(node % 3),
        }
    }

    /// Runs statements; returns rows as the database's own client shows them.
    pub(crate) fn run(&self, sql: &str) -> String {
        match self {
            Self::One(server) => server.run(sql),
            Self::Cluster(servers) => servers.run(0, sql),
        }
    }
}

/// How its devices are mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mixing {
    Batch,
    Cohort,
}

impl Fleet {
    /// Starts a database, a sandbox and so many nodes. Nothing where there is no `MariaDB`.
    pub(crate) async fn start(count: usize, mixing: Mixing, window_s: u32) -> Option<Self> {
        let database = Database::One(MariaDb::start().await?);
        Some(Self::start_on(database, count, mixing, window_s).await)
    }

    /// The same, with a database.
    pub(crate) async fn start_on(
        database: Database,
        count: usize,
        mixing: Mixing,
        window_s: u32,
    ) -> Self {
        let dir = Dir::new();
        let (ports, rig) = (free_ports(), dir.join("rig"));
        let config = match mixing {
            Mixing::Batch => init(&rig, ports, window_s).unwrap(),
            Mixing::Cohort => init_with_cohorts(&rig, ports, window_s).unwrap(),
        };
        std::fs::write(config.with_file_name("db.password"), MariaDb::PASSWORD).unwrap();
        let text = std::fs::read_to_string(&config).unwrap();
        let store = format!("store = \"{}\"\nkey_file = \"reveille.key\"", database.url(0));
        let text = text.replace("store = \"sqlite:reveille.db\"", &store);
        let text = text.replacen("[push.mix]", SECTIONS, 1);
        // Woken once a second, a day's budget is spent at once.
        let text = match mixing {
            Mixing::Batch => text,
            Mixing::Cohort => text.replacen("[push.mix]\n", BUDGET, 1),
        };
        // `[sandbox]` is the file's last section.
        std::fs::write(&config, format!("{text}received_max = 1000000\n")).unwrap();
        let path = config.to_str().unwrap();
        let mut sandbox = Server::start(Path::new(REVEILLE), &["sandbox", "--config", path]);
        sandbox.wait_for("the sandbox is listening").await;
        let mut fleet = Self {
            nodes: Vec::new(),
            sandbox: Client::new(&format!("http://127.0.0.1:{}", ports.control)),
            database,
            config,
            accepted: Arc::default(),
            next: 0,
            logs: Vec::new(),
            _sandbox: sandbox,
            _dir: dir,
        };
        let migrated = fleet.reveille(&["migrate"]);
        assert!(migrated.contains("went from schema 0"), "{migrated}");
        for number in 0..count {
            let port = free_port();
            let client = Client::new(&format!("http://127.0.0.1:{port}"));
            fleet.nodes.push(Node { port, client, server: None });
            fleet.start_node(number).await;
        }
        fleet
    }

    /// What a command says with the fleet's configuration, if it ends well.
    pub(crate) fn reveille(&self, words: &[&str]) -> String {
        let path = self.config.to_str().unwrap();
        let done = Command::new(REVEILLE).args(words).args(["--config", path]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Starts a node that does not run.
    pub(crate) async fn start_node(&mut self, number: usize) {
        let (path, node) = (self.config.to_str().unwrap(), &mut self.nodes[number]);
        let listens = [
            ("REVEILLE_PUSH__INTAKE__LISTEN", format!("127.0.0.1:{}", node.port)),
            ("REVEILLE_PUSH__PUBLIC__LISTEN", format!("127.0.0.1:{}", free_port())),
            ("REVEILLE_PUSH__STORE", self.database.url(number)),
        ];
        let environment: Vec<(&str, &str)> =
            listens.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let words = ["push", "--config", path];
        let mut server = Server::start_with(Path::new(REVEILLE), &words, &environment);
        server.wait_for("the push server is listening").await;
        node.server = Some(server);
    }

    /// The process of a node that runs.
    pub(crate) fn server(&mut self, number: usize) -> &mut Server {
        self.nodes[number].server.as_mut().unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, number: usize) {
        let mut server = self.nodes[number].server.take().unwrap();
        server.kill();
        self.logs.extend(server.log());
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(&mut self, number: usize) {
        let mut server = self.nodes[number].server.take().unwrap();
        assert_eq!(server.terminate(), Some(0), "{:?}", server.log());
        self.logs.extend(server.log());
    }

    /// Sends requests to nodes that run, drawn at random. What was answered with 2xx is remembered.
    pub(crate) fn load(&mut self, count: u64, rng: &mut Rng) -> JoinSet<()> {
        let clients: Vec<Client> = self
            .nodes
            .iter()
            .filter(|node| node.server.is_some())
            .map(|node| node.client.clone())
            .collect();
        let mut requests = JoinSet::new();
        for _ in 0..count {
            let client = clients[usize::try_from(rng.below(clients.len() as u64)).unwrap()].clone();
            let provider = ["apns", "fcm"][usize::try_from(rng.below(2)).unwrap()];
            let tokens: Vec<String> = (0..=rng.below(4)).map(|_| self.token(provider)).collect();
            let accepted = Arc::clone(&self.accepted);
            requests.spawn(async move {
                let body = json!({
                    "deviceTokens": tokens,
                    "messageType": "checkEchoV1",
                    "topic": "org.wikimedia.wikipedia",
                });
                let (headers, path) =
                    ([("content-type", "application/json")], format!("/v1/message/{provider}"));
                let body = body.to_string().into_bytes();
                let answer = client.try_call(http::Method::POST, &path, &headers, body).await;
                if answer.is_some_and(|answer| answer.status == 200) {
                    accepted.lock().unwrap().extend(tokens);
                }
            });
        }
        requests
    }

    fn token(&mut self, provider: &str) -> String {
        self.next += 1;
        match provider {
            "apns" => format!("{MARK_HEX}{:018x}", self.next),
            _ => format!("{MARK}-token-{}", self.next),
        }
    }

    /// How many tokens were accepted so far.
    pub(crate) fn count_accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// These will arrive, too.
    pub(crate) fn expect(&self, tokens: impl IntoIterator<Item = String>) {
        self.accepted.lock().unwrap().extend(tokens);
    }

    pub(crate) async fn received(&self) -> u64 {
        self.sandbox.get("/stats").await.json()["received"].as_u64().unwrap()
    }

    /// Every push that arrived and was answered with success, in order.
    pub(crate) async fn delivered(&self) -> Vec<Value> {
        let lines = self.sandbox.get("/received").await.text;
        let pushes = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        pushes.filter(|push| push["answer"] == "200" || push["answer"] == "201").collect()
    }

    /// Runs until everything accepted has arrived.
    pub(crate) async fn settle(&self) {
        loop {
            // Counted first: what arrives after this is waited for.
            let before = self.received().await;
            let delivered: BTreeSet<String> = self.delivered().await.iter().map(token_of).collect();
            let missing: Vec<String> =
                self.accepted.lock().unwrap().difference(&delivered).cloned().collect();
            if missing.is_empty() {
                return;
            }
            let path = format!("/stats?received_min={}&wait_s={PATIENCE_S}", before + 1);
            let after = self.sandbox.get(&path).await.json()["received"].as_u64().unwrap();
            let first = missing.first();
            assert!(
                after > before,
                "accepted, not delivered: {} of them, {first:?}",
                missing.len()
            );
        }
    }

    /// Ends the run: drains, stops every node, and checks what holds then. Returns the account, for people.
    pub(crate) async fn end(&mut self) -> String {
        self.drain().await;
        for number in 0..self.nodes.len() {
            self.stop(number);
        }
        let [accepted, waiting, collapsed, settled] = self.ledger();
        assert_eq!(waiting, 0, "what was settled is settled");
        self.check_logs();
        format!("{accepted} accepted, {collapsed} collapsed, {settled} settled")
    }

    /// Runs until nothing waits: what a node held that is gone is sent by others, whether it had arrived or not.
    async fn drain(&self) {
        for _ in 0..PATIENCE_S {
            let [_, waiting, ..] = self.ledger();
            if waiting == 0 {
                return;
            }
            let more = self.received().await + 1;
            self.sandbox.get(&format!("/stats?received_min={more}&wait_s=1")).await;
        }
        unreachable!("{:?} wait\n{}", self.ledger(), self.describe());
    }

    /// Whatever arrived twice was in flight when its node went, and has the same name.
    pub(crate) async fn check_repeats(&self) -> usize {
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut repeats = 0;
        for push in self.delivered().await {
            let name = match push["provider"].as_str() {
                Some("apns") => push["headers"]["apns-id"].to_string(),
                _ => push["payload"]["message"]["android"]["collapse_key"].to_string(),
            };
            let known = names.entry(token_of(&push)).or_default();
            repeats += usize::from(!known.is_empty());
            known.insert(name);
        }
        for (token, names) in names {
            assert_eq!(
                names.len(),
                1,
                "{token} was told twice of the same, under two names: {names:?}"
            );
        }
        repeats
    }

    /// One row of numbers of the database.
    pub(crate) fn numbers(&self, sql: &str) -> Vec<i64> {
        let rows = self.database.run(sql);
        let row = rows.lines().nth(1).unwrap_or_else(|| unreachable!("no row: {sql}")).to_owned();
        row.split('\t').map(|number| number.parse().unwrap()).collect()
    }

    /// What the ledger says: `(accepted, waiting, collapsed, settled)`. It fits, and what it calls waiting is what is there.
    pub(crate) fn ledger(&self) -> [i64; 4] {
        let sql = concat!(
            "SELECT SUM(accepted), SUM(waiting), SUM(collapsed), SUM(settled_sent + settled_dead + settled_expired",
            " + settled_cancelled + settled_payload_error + settled_dry_run + settled_limited),",
            " (SELECT COUNT(*) FROM wakeups) + (SELECT COUNT(*) FROM marks) + (SELECT COALESCE(SUM(count), 0)",
            " FROM gathered WHERE window_end > (SELECT COALESCE(MAX(until), 0) FROM releases WHERE is_expanded))",
            " FROM lanes;"
        );
        let row = self.numbers(sql);
        let [accepted, waiting, collapsed, settled, there] = row[..] else {
            unreachable!("{row:?}")
        };
        assert_eq!(accepted, waiting + collapsed + settled, "the accounting does not fit");
        if self.nodes.iter().all(|node| node.server.is_none()) {
            assert!(waiting >= there, "{waiting} wait and {there} are there");
        }
        [accepted, waiting, collapsed, settled]
    }

    /// What there is, for whoever looks why something has not come: what waits, who is there, and what the nodes that run have said last.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for sql in [
            "SELECT set_id, part, due_at - UNIX_TIMESTAMP(NOW(3)) * 1000 AS due_in_ms, lease <> 0, holder, attempts, held IS NOT NULL FROM wakeups;",
            "SELECT cohort, window_end, leaves FROM marks;",
            "SELECT id, standing, formed, live FROM cohorts;",
            "SELECT slot, seen_at - UNIX_TIMESTAMP(NOW(6)) * 1000000 FROM nodes;",
            "SELECT closed_until - UNIX_TIMESTAMP(NOW(3)) * 1000, expanded_until - closed_until, parts FROM state;",
            "SELECT until, is_expanded FROM releases;",
            "SELECT id, accepted, waiting, collapsed, settled_sent, settled_cancelled FROM lanes WHERE accepted <> 0 OR waiting <> 0;",
        ] {
            text.extend([sql, "\n", &self.database.run(sql)]);
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let said = node.server.as_ref().map(Server::log).unwrap_or_default();
            let last = said.iter().rev().take(LAST_LINES).rev();
            text.extend([format!("node {number}:\n")]);
            text.extend(last.flat_map(|line| [line.as_str(), "\n"]));
        }
        text
    }

    /// No log line of any node has anything personal in it. To be called at the end, when all are stopped.
    pub(crate) fn check_logs(&self) {
        let personal = |line: &&String| [MARK, MARK_HEX].iter().any(|mark| line.contains(mark));
        let personal: Vec<&String> = self.logs.iter().filter(personal).collect();
        assert!(personal.is_empty(), "{personal:?}");
    }

    /// What all nodes have said that do not run any more.
    pub(crate) fn logs(&self) -> &[String] {
        &self.logs
    }
}

pub(crate) fn token_of(push: &Value) -> String {
    push["token"].as_str().unwrap().to_owned()
}
