//! The real server and its sandbox, with users of three kinds.

use std::path::{Path, PathBuf};
use std::process::Command;

use reveille_model::{CredentialSet, Provider, Providers};
use reveille_sandbox::init_with_cohorts;
use reveille_testkit::{Client, Dir, MariaDb, Server, free_port, free_ports};
use rusqlite::types::ValueRef;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::observed::{Event, Member, Observed, Push};

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");
/// Stands in every token and user; must stand in no log line.
const MARK: &str = "planted";
const MARK_HEX: &str = "504c414e544544";
pub(crate) const USERS: usize = 2_000;
/// The round from which on some have another device.
pub(crate) const LATER: usize = 6;
/// How often something is waited for, a second each time.
const PATIENCE: u32 = 90;
/// Requests at a time.
const AT_ONCE: usize = 32;

/// What happens while pushes leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// The server is killed, and starts again.
    Killed,
}

/// What runs: one process with a file, or several on one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    Alone,
    Fleet(usize),
}

/// A process, and who asks it.
struct Node {
    port: u16,
    push: Client,
    server: Server,
}

pub(crate) struct Rig {
    config: PathBuf,
    nodes: Vec<Node>,
    /// Nothing where the one node has a file.
    database: Option<MariaDb>,
    sandbox: Client,
    logs: Vec<String>,
    events: Vec<Event>,
    /// When each round began, and how many pushes had arrived then.
    rounds: Vec<u64>,
    smallest: f64,
    _sandbox: Server,
    _dir: Dir,
}

fn name(user: usize) -> String {
    format!("{MARK}-user-{user}")
}

/// A device of a user.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) user: usize,
    pub(crate) provider: &'static str,
    pub(crate) token: String,
    /// From which round on it is there.
    pub(crate) since: usize,
}

/// The devices of a user: six of ten have an Android phone, two an iPhone, one has both, and one has an iPhone from some round on.
pub(crate) fn devices(user: usize) -> Vec<Device> {
    let of = |provider, token, since| Device { user, provider, token, since };
    let phone = || of("fcm", format!("{MARK}-phone-{user}"), 0);
    let iphone = |since| of("apns", format!("{MARK_HEX}{user:018x}"), since);
    match user % 10 {
        0..=5 => vec![phone()],
        6 | 7 => vec![iphone(0)],
        8 => vec![phone(), iphone(0)],
        _ => vec![phone(), iphone(LATER)],
    }
}

/// Whether a user is one of those who get another device while they are watched.
pub(crate) const fn is_equipped_later(user: usize) -> bool {
    user % 10 == 9
}

/// All of a push but whom it is for, its random id, and when it expires, which is the same for all of a window.
fn shape(push: &Value) -> String {
    let mut headers = push["headers"].clone();
    for own in ["apns-id", "apns-expiration", ":path"] {
        headers.as_object_mut().unwrap().remove(own);
    }
    let mut payload = push["payload"].clone();
    if let Some(message) = payload.get_mut("message") {
        message["token"].take();
        message["android"]["ttl"].take();
    }
    // A token's length is its own; everything else has to add up.
    let token = push["token"].as_str().unwrap().len();
    let bytes = match push["provider"].as_str() {
        Some("fcm") => push["body_bytes"].as_u64().unwrap() - token as u64,
        _ => push["body_bytes"].as_u64().unwrap(),
    };
    headers.as_object_mut().unwrap().remove("content-length");
    format!("{headers} {payload} {bytes}")
}

async fn server(config: &Path, port: u16) -> Server {
    let listen = format!("127.0.0.1:{port}");
    // Nobody comes to the public one.
    let public = format!("127.0.0.1:{}", free_port());
    let listens = [
        ("REVEILLE_PUSH__INTAKE__LISTEN", listen.as_str()),
        ("REVEILLE_PUSH__PUBLIC__LISTEN", public.as_str()),
    ];
    let words = ["push", "--config", config.to_str().unwrap()];
    let mut server = Server::start_with(Path::new(REVEILLE), &words, &listens);
    server.wait_for("the push server is listening").await;
    server
}

/// The tables of a new database.
fn migrate(config: &Path) {
    let words = ["migrate", "--config", config.to_str().unwrap()];
    let done = Command::new(REVEILLE).args(words).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

impl Rig {
    /// Starts what runs. Nothing where it needs a database and there is none.
    pub(crate) async fn start(runs: Runs) -> Option<Self> {
        let (count, database) = match runs {
            Runs::Alone => (1, None),
            Runs::Fleet(count) => (count, Some(MariaDb::start().await?)),
        };
        let dir = Dir::new();
        let ports = free_ports();
        let config = init_with_cohorts(&dir.join("rig"), ports, 1).unwrap();
        let text = std::fs::read_to_string(&config).unwrap();
        // Windows are a second long, and everybody is awake: a day's budget for a day of two minutes.
        let mix = "[push.mix]\nwakeups_per_device_day_max = 1440\n";
        let mut text = text.replace("[push.mix]\n", mix);
        if let Some(database) = &database {
            let store = format!("store = \"{}\"\nkey_file = \"reveille.key\"", database.url());
            text = text.replace("store = \"sqlite:reveille.db\"", &store);
            let password = "[push.mariadb]\npassword_file = \"db.password\"\n[push.mix]\n";
            text = text.replace("[push.mix]\n", password);
            std::fs::write(config.with_file_name("db.password"), MariaDb::PASSWORD).unwrap();
        }
        std::fs::write(&config, format!("{text}received_max = 1000000\n")).unwrap();
        // Everybody is there before there are cohorts: all of them form at once, and nobody waits.
        let before = config.with_file_name("before.toml");
        std::fs::write(&before, text.replace("mode = \"cohort\"", "mode = \"batch\"")).unwrap();
        let arguments = ["sandbox", "--config", config.to_str().unwrap()];
        let mut sandbox = Server::start(Path::new(REVEILLE), &arguments);
        sandbox.wait_for("the sandbox is listening").await;
        let client = |port| Client::new(&format!("http://127.0.0.1:{port}"));
        if database.is_some() {
            migrate(&before);
        }
        let mut nodes = Vec::new();
        for number in 0..count {
            let port = if number == 0 { ports.intake } else { free_port() };
            let server = server(&before, port).await;
            nodes.push(Node { port, push: client(port), server });
        }
        Some(Self {
            config,
            nodes,
            database,
            sandbox: client(ports.control),
            logs: Vec::new(),
            events: Vec::new(),
            rounds: Vec::new(),
            smallest: f64::INFINITY,
            _sandbox: sandbox,
            _dir: dir,
        })
    }

    /// Who asks the node whose turn it is.
    fn client(&self, turn: usize) -> Client {
        self.nodes[turn % self.nodes.len()].push.clone()
    }

    /// Registers the devices that are there from some round on, and waits until they are in cohorts. Meanwhile there are none: all of them form at
    /// once, and nobody waits.
    pub(crate) async fn register(&mut self, since: usize) {
        self.restart("before.toml").await;
        let mut tasks = JoinSet::new();
        let devices = (0..USERS).flat_map(devices).filter(|device| device.since == since);
        for (turn, device) in devices.enumerate() {
            let client = self.client(turn);
            tasks.spawn(async move {
                let Device { user, provider, token, .. } = device;
                let device = match provider {
                    "apns" => json!({
                        "provider": provider, "token": token, "topic": "org.wikimedia.wikipedia",
                    }),
                    _ => json!({"provider": provider, "token": token}),
                };
                let path = format!("/v1/users/{}/subscriptions", name(user));
                let answer = client.post(&path, &device).await;
                assert_eq!(answer.status, 201, "{}", answer.text);
            });
            if tasks.len() >= AT_ONCE {
                tasks.join_next().await.unwrap().unwrap();
            }
        }
        tasks.join_all().await;
        self.restart("reveille.toml").await;
        // A window has to end for it.
        for _ in 0..PATIENCE {
            let sizes = self.metrics("reveille_privacy_cohort_live_size_min").await;
            let is_formed = sizes.iter().any(|size| *size > 0.0);
            if is_formed && self.waiting_cohorts().await < 0.5 {
                return;
            }
            self.sandbox.get("/stats?received_min=1&wait_s=1").await;
        }
        panic!("no cohorts are formed");
    }

    /// Ends the server and starts it again, with that configuration.
    async fn restart(&mut self, with: &str) {
        self.stop();
        let config = self.config.with_file_name(with);
        for node in &mut self.nodes {
            node.server = server(&config, node.port).await;
        }
    }

    /// Ends all of them.
    fn stop(&mut self) {
        for node in &mut self.nodes {
            assert_eq!(node.server.terminate(), Some(0), "{:?}", node.server.log());
            self.logs.extend(node.server.log());
        }
    }

    /// The value of a metric at each node; 0 where it is not there yet.
    async fn metrics(&self, name: &str) -> Vec<f64> {
        let mut values = Vec::new();
        for node in &self.nodes {
            let metrics = node.push.get("/metrics").await.text;
            let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            values.push(line.map_or(0.0, |value| value.parse().unwrap()));
        }
        values
    }

    /// How many cohorts there are whose users wait for others.
    async fn waiting_cohorts(&self) -> f64 {
        let metrics = self.client(0).get("/metrics").await.text;
        let name = "reveille_privacy_cohort_live_size{kind=\"provisional\"";
        let sizes = metrics.lines().filter(|line| line.starts_with(name));
        sizes.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// How many wake-ups wait, if the server knows by now.
    async fn waiting(&self) -> Option<u64> {
        let metrics = self.client(0).get("/metrics").await.text;
        let name = "reveille_ledger_wakeups{state=\"waiting\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(name)).map(|count| count.parse().unwrap())
    }

    /// Faults of devices and of providers, some of them for good.
    pub(crate) async fn misbehave(&self, round: usize) {
        let faults = json!([
            {"token": "*7", "reply": "unavailable", "retry_after_s": 1, "count": 20},
            {"token": "*3", "reply": "internal", "count": 20},
            {"provider": "fcm", "token": "*5", "reply": "device_throttled", "retry_after_s": 1, "count": 10},
            {"token": "*1", "reply": "reset", "count": 3},
            {"token": "*9", "reply": "goaway", "count": 2},
            // Whoever loses one of two devices stays with the other.
            {"provider": "fcm", "token": format!("*{}2", round % 10), "reply": "unregistered", "count": 2},
            {"provider": "fcm", "token": format!("*{}8", round % 10), "reply": "unregistered", "count": 1},
        ]);
        let posted = self.sandbox.post("/faults", &faults).await;
        assert_eq!(posted.status, 201, "{}", posted.text);
    }

    /// Something happens to these users; waits until nothing waits any more. The server may be killed while pushes leave.
    pub(crate) async fn round(&mut self, meant: &[usize], trouble: Trouble) {
        let before = self.received().await;
        self.rounds.push(before);
        let number = self.rounds.len() - 1;
        let mut tasks = JoinSet::new();
        for (order, user) in meant.iter().enumerate() {
            let (client, user) = (self.client(order), *user);
            tasks.spawn(async move {
                let body = json!({"users": [name(user)], "type": "mention"});
                let accepted = client.post("/v1/notifications", &body).await;
                assert_eq!(accepted.status, 202, "{}", accepted.text);
                (order, user, accepted.json()["id"].as_str().unwrap().to_owned())
            });
            if tasks.len() >= AT_ONCE {
                let (order, user, id) = tasks.join_next().await.unwrap().unwrap();
                self.note(number, (order, user), &id).await;
            }
        }
        while let Some(done) = tasks.join_next().await {
            let (order, user, id) = done.unwrap();
            self.note(number, (order, user), &id).await;
        }
        if trouble == Trouble::Killed {
            let some = before + 100;
            self.sandbox.get(&format!("/stats?received_min={some}&wait_s=10")).await;
            let victim = number % self.nodes.len();
            let node = &mut self.nodes[victim];
            node.server.kill();
            self.logs.extend(node.server.log());
            node.server = server(&self.config, node.port).await;
        }
        let (mut received, mut looks) = (before, 0);
        while self.waiting().await != Some(0) {
            let path = format!("/stats?received_min={}&wait_s=1", received + 200);
            received = self.sandbox.get(&path).await.json()["received"].as_u64().unwrap();
            looks += 1;
            if looks == PATIENCE {
                let metrics = self.client(0).get("/metrics").await.text;
                let logs: Vec<_> = self.nodes.iter_mut().map(|node| node.server.log()).collect();
                panic!("round {number}: something waits\n{metrics}\n{logs:?}");
            }
        }
        self.sandbox.delete("/faults").await;
        for smallest in self.metrics("reveille_privacy_cohort_live_size_min").await {
            if smallest > 0.0 {
                self.smallest = self.smallest.min(smallest);
            }
        }
        let partial = self.metrics("reveille_privacy_partial_cohort_sends_total").await;
        assert!(partial.iter().all(|count| *count < 0.5), "{partial:?}");
    }

    /// Something has happened to a user; its trail says in which window.
    async fn note(&mut self, round: usize, (order, user): (usize, usize), id: &str) {
        let trail = self.client(order).get(&format!("/v1/notifications/{id}")).await.json();
        let window = trail["window_end"].as_str().unwrap().to_owned();
        self.events.push(Event { round, order, window, user });
    }

    async fn received(&self) -> u64 {
        self.sandbox.get("/stats").await.json()["received"].as_u64().unwrap()
    }

    /// Ends the server; returns what was to be seen, and who is in which cohort.
    pub(crate) async fn end(mut self) -> Observed {
        self.stop();
        let is_personal = |line: &&String| [MARK, MARK_HEX].iter().any(|mark| line.contains(mark));
        assert_eq!(self.logs.iter().find(is_personal), None);
        let lines = self.sandbox.get("/received").await.text;
        let mut pushes: Vec<Push> = Vec::new();
        for (place, line) in lines.lines().enumerate() {
            let push: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| push[name].as_str().unwrap();
            let place = place as u64;
            pushes.push(Push {
                round: self.rounds.partition_point(|first| *first <= place) - 1,
                provider: if text("provider") == "apns" { "apns" } else { "fcm" },
                token: text("token").to_owned(),
                shape: shape(&push),
            });
        }
        let user = |name: &str| name[MARK.len() + "-user-".len()..].parse().unwrap();
        let mut members = Vec::new();
        for row in self.rows(
            "SELECT m.cohort, m.user_name, s.providers FROM members m
             JOIN cohorts c ON c.id = m.cohort JOIN strata s ON s.id = c.stratum
             WHERE m.user_name IS NOT NULL",
        ) {
            let [cohort, name, covers] = &row[..] else { unreachable!("{row:?}") };
            let covers = Providers::from_bits(covers.parse().unwrap());
            let covered = Provider::ALL.into_iter().filter(|provider| covers.contains(*provider));
            let (cohort, user) = (cohort.parse().unwrap(), user(name));
            members.extend(covered.map(|each| Member { cohort, user, provider: each.as_str() }));
        }
        let living = self.rows(
            "SELECT s.user_name, c.name FROM subscriptions s
             JOIN credential_sets c ON c.id = s.set_id",
        );
        let living = living.iter().map(|row| {
            let set = CredentialSet::parse(&row[1]).unwrap();
            (user(&row[0]), set.provider().as_str())
        });
        let living = living.collect();
        Observed { events: self.events, pushes, members, living, smallest: self.smallest }
    }

    /// Rows of the store, as texts.
    fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        if let Some(database) = &self.database {
            let rows = database.run(&format!("{sql};"));
            return rows
                .lines()
                .skip(1)
                .map(|row| row.split('\t').map(str::to_owned).collect())
                .collect();
        }
        let database =
            rusqlite::Connection::open(self.config.with_file_name("reveille.db")).unwrap();
        let mut select = database.prepare(sql).unwrap();
        let columns = select.column_count();
        let rows = select.query_map([], |row| {
            (0..columns)
                .map(|column| {
                    Ok(match row.get_ref(column)? {
                        ValueRef::Integer(number) => number.to_string(),
                        other => other.as_str()?.to_owned(),
                    })
                })
                .collect::<rusqlite::Result<_>>()
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}
