//! The real binary as a session store: killed under load, stopped, with certificates that change, and with ten thousand idle connections.
#![cfg(test)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use reveille_model::Rng;
use reveille_testkit::{Client, Dir, Server, free_port, is_long};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// In every key and value, to be looked for in logs.
const MARK: &str = "mArKeD";
const LISTENING: &str = "the session store is listening";

fn config(dir: &Dir, port: u16, more: &str) -> String {
    let text = format!(
        "[sessions]\nlisten = \"127.0.0.1:{port}\"\nstore = \"sqlite:sessions.db\"\n{more}"
    );
    std::fs::write(dir.join("reveille.toml"), text).unwrap();
    dir.join("reveille.toml").display().to_string()
}

async fn start(config: &str) -> Server {
    let binary = Path::new(env!("CARGO_BIN_EXE_reveille"));
    let mut server = Server::start(binary, &["sessions", "--config", config]);
    server.wait_for(LISTENING).await;
    server
}

fn assert_unmarked(server: &Server) {
    let marked: Vec<String> = server.log().into_iter().filter(|line| line.contains(MARK)).collect();
    assert_eq!(marked, Vec::<String>::new());
}

/// What an entry may be, nothing being no entry: what was answered last, then what was asked and not answered.
type Possible = Vec<Option<String>>;

/// A value that shows whether it is whole: its length and its number over and over.
fn value(rng: &mut Rng, number: u64) -> String {
    let length = match rng.next_u64() % 10 {
        0 => 200_000,
        1..=3 => 5_000,
        _ => 100,
    };
    let length = length + usize::try_from(rng.next_u64() % 100).unwrap();
    let mut value = format!("{MARK} {length} {number} ");
    value.push_str(&format!("{number}.").repeat(length / number.to_string().len()));
    value.truncate(length);
    value
}

/// One writer: its keys, what they may be, and where it counts answers.
struct Writer {
    client: Client,
    rng: Rng,
    keys: HashMap<String, Possible>,
    answered: Arc<watch::Sender<usize>>,
}

impl Writer {
    /// Writes and deletes until no answer comes.
    async fn run(mut self) -> HashMap<String, Possible> {
        let names: Vec<String> = self.keys.keys().cloned().collect();
        loop {
            let at = usize::try_from(self.rng.next_u64() % names.len() as u64).unwrap();
            let number = self.rng.next_u64();
            let value = (!number.is_multiple_of(5)).then(|| value(&mut self.rng, number));
            let possible = self.keys.get_mut(&names[at]).unwrap();
            possible.push(value.clone());
            let (method, status) =
                if value.is_some() { (Method::POST, 201) } else { (Method::DELETE, 204) };
            let body = value.clone().unwrap_or_default().into_bytes();
            let path = format!("/sessions/v1/{}", names[at]);
            let Some(answer) = self.client.try_call(method, &path, &[], body).await else {
                return self.keys;
            };
            assert_eq!(answer.status, status);
            *possible = vec![value];
            self.answered.send_modify(|count| *count += 1);
        }
    }
}

/// Kills in the middle of writing, at a moment that the seed chooses, as often as it says: what was answered is there, nothing is half.
#[tokio::test]
async fn nothing_that_was_answered_is_lost_by_a_kill() {
    let kills: u32 = if is_long() { 2_500 } else { 250 };
    let (dir, port) = (Dir::new(), free_port());
    let config = config(&dir, port, "");
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    let of_writer = |writer: u32| {
        (0..5).map(move |key| (format!("{MARK}:{writer}:{key}"), vec![None])).collect()
    };
    let mut writers: Vec<HashMap<String, Possible>> = (0..8).map(of_writer).collect();
    let (mut looked_at, mut landed) = (0, 0);
    let mut server = start(&config).await;
    for kill in 0..kills {
        let mut rng = Rng::from_seed(std::array::from_fn(|at| kill.to_le_bytes()[at % 4]));
        let answered = Arc::new(watch::Sender::new(0));
        let mut running = JoinSet::new();
        for keys in writers.drain(..) {
            let (client, answered) = (client.clone(), Arc::clone(&answered));
            running.spawn(
                Writer { client, rng: Rng::from_seed(seed(&mut rng)), keys, answered }.run(),
            );
        }
        let after = usize::try_from(rng.next_u64() % 60).unwrap();
        answered.subscribe().wait_for(|count| *count >= after).await.unwrap();
        server.kill();
        writers = running.join_all().await;
        assert_unmarked(&server);
        server = start(&config).await;
        for (key, possible) in writers.iter_mut().flat_map(HashMap::iter_mut) {
            let answer = client.get(&format!("/sessions/v1/{key}")).await;
            let found = (answer.status == 200).then_some(answer.text);
            let at = possible.iter().position(|each| *each == found);
            assert!(at.is_some(), "kill {kill}, {key}: {found:?} is none of {possible:?}");
            looked_at += 1;
            landed += usize::from(at != Some(0));
            *possible = vec![found];
        }
    }
    println!("{kills} kills: {looked_at} entries looked at, {landed} unanswered writes had landed");
    assert!(landed > 0);
    server.terminate();
}

fn seed(rng: &mut Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    for eight in seed.chunks_mut(8) {
        eight.copy_from_slice(&rng.next_u64().to_le_bytes());
    }
    seed
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_ends_well() {
    let (dir, port) = (Dir::new(), free_port());
    let mut server = start(&config(&dir, port, "")).await;
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!(
        "POST /sessions/v1/{MARK} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    // Whoever is told to go on is under way.
    let mut told = [0; 25];
    connection.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    let asked = tokio::task::spawn_blocking(move || (server.terminate(), server));
    connection.write_all(b"ab").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    let (code, server) = asked.await.unwrap();
    assert_eq!(code, Some(0), "{:?}", server.log());
    assert_unmarked(&server);
}

/// A certificate is renewed under a running server; one that cannot be used changes nothing.
#[tokio::test]
async fn a_certificate_that_changes_is_taken_up() {
    reveille_testkit::install_crypto();
    let (dir, port) = (Dir::new(), free_port());
    let renew = || {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        made.cert.pem()
    };
    let ask = async |pem: &str| {
        let trusted = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]);
        let asked = client.build().unwrap().get(format!("https://127.0.0.1:{port}/healthz"));
        asked.send().await.map(|answer| answer.status().as_u16())
    };
    let first = renew();
    let tls = "tls_cert_file = \"cert.pem\"\ntls_key_file = \"key.pem\"\n";
    let mut server = start(&config(&dir, port, tls)).await;
    assert_eq!(ask(&first).await.unwrap(), 200);
    std::fs::write(dir.join("cert.pem"), "half of a certificate").unwrap();
    server.signal("HUP");
    server.wait_for("cannot be used; what was read before is used").await;
    assert_eq!(ask(&first).await.unwrap(), 200);
    let second = renew();
    server.signal("HUP");
    server.wait_for("have changed and are used now").await;
    assert_eq!(ask(&second).await.unwrap(), 200);
    assert!(ask(&first).await.is_err(), "the one before is gone");
    assert_eq!(server.terminate(), Some(0));
}

/// Those who only sit there keep nobody else out.
#[tokio::test]
async fn ten_thousand_idle_connections_keep_nobody_out() {
    let (dir, port) = (Dir::new(), free_port());
    let server = start(&config(&dir, port, "")).await;
    let before = server.resident_kib();
    let held = Arc::new(AtomicUsize::new(0));
    let mut idle = Vec::new();
    for _ in 0..10_000 {
        idle.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        held.fetch_add(1, Ordering::Relaxed);
    }
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    let posted = client.call(Method::POST, "/sessions/v1/x", &[], b"x".to_vec()).await;
    assert_eq!(posted.status, 201);
    assert_eq!(client.get("/sessions/v1/x").await.text, "x");
    assert_eq!(client.get("/readyz").await.status, 200);
    let grown = server.resident_kib() - before;
    assert!(grown < 200_000, "10,000 idle connections take {grown} KiB");
    assert_eq!(held.load(Ordering::Relaxed), idle.len());
}
