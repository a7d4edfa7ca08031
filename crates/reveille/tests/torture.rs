//! `kill -9` of the real binary during intake, during a window and during delivery, over and over, with a provider that misbehaves.
//!
//! What must hold: every wake-up that was accepted arrives; the accounting fits in the database that is left; no device is dropped but the
//! one the provider called dead; nothing personal is in any log line.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use reveille_model::Rng;
use reveille_sandbox::init;
use reveille_testkit::{Client, Dir, Server, free_ports, is_long};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Stands in every token and user; must stand in no log line.
const MARK: &str = "PLANTED";
/// The same in an APNs token.
const MARK_HEX: &str = "504c414e544544";
const USERS: usize = 20;
/// How long to wait for one more push to arrive, in seconds, before giving up.
const PATIENCE_S: u32 = 60;

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");

struct Rig {
    config: PathBuf,
    sandbox: Client,
    push: Client,
    /// Tokens of accepted wake-ups, each used once.
    accepted: Arc<Mutex<BTreeSet<String>>>,
    next: u64,
    _sandbox: Server,
    _dir: Dir,
}

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Requests are under way.
    Intake,
    /// All are answered, their window is open or just ending.
    Window,
    /// Its wake-ups exist, some may have left.
    Released,
    /// Some have arrived.
    Delivery,
}

impl Rig {
    async fn start() -> Self {
        let dir = Dir::new();
        let ports = free_ports();
        let config = init(&dir.join("rig"), ports, 1).unwrap();
        // Enough for the long variant: what arrived is looked through at the end. `[sandbox]` is the file's last section.
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}received_max = 1000000\n")).unwrap();
        let path = config.to_str().unwrap();
        let mut sandbox = Server::start(Path::new(REVEILLE), &["sandbox", "--config", path]);
        sandbox.wait_for("the sandbox is listening").await;
        Self {
            sandbox: Client::new(&format!("http://127.0.0.1:{}", ports.control)),
            push: Client::new(&format!("http://127.0.0.1:{}", ports.intake)),
            config,
            accepted: Arc::default(),
            next: 0,
            _sandbox: sandbox,
            _dir: dir,
        }
    }

    async fn push_server(&self) -> Server {
        let path = self.config.to_str().unwrap();
        let mut server = Server::start(Path::new(REVEILLE), &["push", "--config", path]);
        server.wait_for("the push server is listening").await;
        server
    }

    /// Sends requests until `count` were answered or the server is gone. What was answered with 2xx is remembered.
    fn load(&mut self, count: u64, rng: &mut Rng) -> JoinSet<()> {
        let mut requests = JoinSet::new();
        for _ in 0..count {
            let provider = ["apns", "fcm", "webpush"][usize::try_from(rng.below(3)).unwrap()];
            let tokens: Vec<String> = (0..=rng.below(4))
                .map(|_| {
                    self.next += 1;
                    match provider {
                        "apns" => format!("{MARK_HEX}{:018x}", self.next),
                        _ => format!("{MARK}-token-{}", self.next),
                    }
                })
                .collect();
            let (client, accepted) = (self.push.clone(), Arc::clone(&self.accepted));
            let sandbox = self.sandbox.clone();
            requests.spawn(async move {
                let mut named: Vec<Value> = Vec::new();
                for token in &tokens {
                    named.push(match provider {
                        "webpush" => {
                            let asked = json!({"token": token, "style": "mozilla"});
                            sandbox.post("/subscriptions", &asked).await.json()
                        }
                        _ => json!(token),
                    });
                }
                let body = json!({
                    "deviceTokens": named,
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

    async fn received(&self) -> u64 {
        self.sandbox.get("/stats").await.json()["received"].as_u64().unwrap()
    }

    /// Tokens whose push was answered with success.
    async fn delivered(&self) -> BTreeSet<String> {
        let lines = self.sandbox.get("/received").await.text;
        let pushes = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        pushes
            .filter(|push| push["answer"] == "200" || push["answer"] == "201")
            .map(|push| push["token"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// One life of the push server, ended by `kill -9`.
async fn life(rig: &mut Rig, moment: Moment, rng: &mut Rng) -> Vec<String> {
    let mut server = rig.push_server().await;
    let mut requests = rig.load(60, rng);
    match moment {
        Moment::Intake => {
            for _ in 0..rng.below(40) {
                requests.join_next().await;
            }
        }
        Moment::Window => {
            requests.join_all().await;
            requests = JoinSet::new();
            // Requests until a moment that the seed and the machine choose; windows are a second long.
            for _ in 0..rng.below(300) {
                rig.push.get("/healthz").await;
            }
        }
        Moment::Released => {
            requests.join_all().await;
            requests = JoinSet::new();
            server.wait_for("a window was released").await;
        }
        Moment::Delivery => {
            requests.join_all().await;
            requests = JoinSet::new();
            let more = rig.received().await + 1 + rng.below(60);
            rig.sandbox.get(&format!("/stats?received_min={more}&wait_s=5")).await;
        }
    }
    server.kill();
    requests.join_all().await;
    server.log()
}

/// A provider that fails in most of the ways there are.
async fn misbehave(rig: &Rig) {
    let faults = json!([
        {"token": "*7", "reply": "unavailable", "retry_after_s": 1, "count": 40},
        {"token": "*3", "reply": "internal", "count": 40},
        {"token": "*13", "reply": "reset", "count": 5},
        {"token": "*11", "reply": "refused", "count": 10},
        {"token": "*9", "reply": "goaway", "count": 4},
        {"token": "*5", "reply": "goaway_graceful", "count": 4},
        // Not at Web Push: there it says of a key that works that this browser is another's, and its wake-up is held for an hour.
        {"provider": "fcm", "token": "*21", "reply": "unauthenticated", "count": 1},
        {"provider": "apns", "token": "*21", "reply": "unauthenticated", "count": 1},
        {"token": "*-dead", "reply": "unregistered"},
    ]);
    assert_eq!(rig.sandbox.post("/faults", &faults).await.status, 201);
}

async fn register(rig: &Rig) {
    for number in 0..USERS {
        let token = if number == 0 {
            format!("{MARK}-user-dead")
        } else {
            format!("{MARK}-user-{number}-device")
        };
        let path = format!("/v1/users/{MARK}-{number}/subscriptions");
        let answer = rig.push.post(&path, &json!({"provider": "fcm", "token": token})).await;
        assert_eq!(answer.status, 201);
    }
}

/// Runs until everything accepted has arrived.
async fn settle(rig: &Rig) {
    loop {
        // Counted first: what arrives after this is waited for.
        let before = rig.received().await;
        let missing = {
            let delivered = rig.delivered().await;
            let accepted = rig.accepted.lock().unwrap();
            accepted.difference(&delivered).cloned().collect::<Vec<_>>()
        };
        if missing.is_empty() {
            return;
        }
        let path = format!("/stats?received_min={}&wait_s={PATIENCE_S}", before + 1);
        let after = rig.sandbox.get(&path).await.json()["received"].as_u64().unwrap();
        assert!(
            after > before,
            "accepted and never delivered: {} of them, {:?}",
            missing.len(),
            missing.first()
        );
    }
}

/// What is left in the database: `(accepted, waiting, collapsed, settled, subscriptions)`.
fn ledger(config: &Path) -> (i64, i64, i64, i64, i64) {
    let database = rusqlite::Connection::open(config.with_file_name("reveille.db")).unwrap();
    let sql = "SELECT accepted, waiting, collapsed, settled_sent + settled_dead + settled_expired +
        settled_cancelled + settled_payload_error + settled_dry_run + settled_limited,
        (SELECT COUNT(*) FROM subscriptions) FROM state";
    let row = database
        .query_row(sql, [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .unwrap();
    // What a window that has left gathered may still be there, to be deleted.
    let rows =
        "SELECT (SELECT COUNT(*) FROM wakeups) + (SELECT COALESCE(SUM(count), 0) FROM gathered
        WHERE window_end > (SELECT COALESCE(MAX(until), 0) FROM release WHERE is_expanded))";
    let rows: i64 = database.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(row.1, rows, "what the ledger calls waiting is what is there");
    row
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_over_and_over_nothing_accepted_is_lost() {
    let kills = if is_long() { 2_000 } else { 60 };
    let mut rng = Rng::from_number(1);
    let mut rig = Rig::start().await;
    let mut server = rig.push_server().await;
    register(&rig).await;
    misbehave(&rig).await;
    server.kill();
    let mut logs = server.log();
    for kill in 0..kills {
        let moment = [Moment::Intake, Moment::Window, Moment::Released, Moment::Delivery][kill % 4];
        logs.extend(life(&mut rig, moment, &mut rng).await);
        let (accepted, waiting, collapsed, settled, _) = ledger(&rig.config);
        assert_eq!(accepted, waiting + collapsed + settled, "after kill {kill} during {moment:?}");
    }
    // One life without a kill, in which every user is woken too.
    let mut server = rig.push_server().await;
    let users: Vec<String> = (0..USERS).map(|number| format!("{MARK}-{number}")).collect();
    let answer =
        rig.push.post("/v1/notifications", &json!({"users": users, "type": "mention"})).await;
    assert_eq!(answer.status, 202);
    rig.accepted
        .lock()
        .unwrap()
        .extend((1..USERS).map(|number| format!("{MARK}-user-{number}-device")));
    settle(&rig).await;
    assert_eq!(server.terminate(), Some(0), "{:?}", server.log());
    logs.extend(server.log());
    let (accepted, waiting, collapsed, settled, subscriptions) = ledger(&rig.config);
    assert_eq!(accepted, waiting + collapsed + settled);
    assert_eq!(
        subscriptions,
        i64::try_from(USERS).unwrap() - 1,
        "the dead device went, and no other"
    );
    let personal: Vec<&String> = logs
        .iter()
        .filter(|line| [MARK, MARK_HEX].iter().any(|mark| line.contains(mark)))
        .collect();
    assert!(personal.is_empty(), "{personal:?}");
    println!("{kills} kills, {accepted} wake-ups accepted, {} log lines", logs.len());
}
