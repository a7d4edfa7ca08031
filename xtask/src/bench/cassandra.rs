//! The session store on Cassandra, without HTTP and with it, beside its driver alone with the same statements on the same node.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::report::{Limit, Peer, Row, median};
use super::rig::{Rig, free_port, start};
use super::sessions::{KEYS, Store, reads_at};
use crate::process::{output, root, run, say};
use crate::tools;

/// Many and short ones, in turn: whatever disturbs the machine meets all of them.
const RUNS: usize = 15;
const SECONDS: u32 = 2;
/// Java is slow until it is warm.
const WARM_S: u32 = 18;
const CONNECTIONS: &str = "64";

/// A node, which ends with its input.
struct Node {
    child: Child,
    port: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It may have ended by itself.
        drop(self.child.wait());
    }
}

impl Node {
    fn start() -> Result<Self, String> {
        let mut command = Command::new(root().join("target/release/node"));
        command.env("REVEILLE_TEST_CASSANDRA", tools::cassandra()?);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start a node: {error}"))?;
        let said = child.stderr.take().ok_or("no output")?;
        let mut node = Self { child, port: String::new() };
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            if let Some(port) = line.strip_prefix("port ") {
                port.clone_into(&mut node.port);
                return Ok(node);
            }
        }
        Err("the node has not started".to_owned())
    }

    /// Operations a second without HTTP, of the driver `alone` or of our `engine` on it.
    fn driver(&self, who: &str, operation: &str) -> Result<f64, String> {
        let host = format!("127.0.0.1:{}", self.port);
        let (keys, seconds) = (KEYS.to_string(), SECONDS.to_string());
        let mut driver = Command::new(root().join("target/release/examples/driver"));
        driver.args([&host, "bench", who, operation, CONNECTIONS, &keys, &seconds]);
        let printed = output(&mut driver)?;
        printed.trim().parse().map_err(|_| "the driver prints no rate".to_owned())
    }
}

pub(super) fn measure(rig: &Rig) -> Result<Vec<Row>, String> {
    let example =
        ["build", "--release", "--quiet", "-p", "reveille-store-cassandra", "--example", "driver"];
    run(Command::new("cargo").args(example).current_dir(root()))?;
    let node = Node::start()?;
    let more = format!(
        "store = \"cassandra://127.0.0.1:{}/bench?dc=dc1\"\n[sessions.cassandra.replication]\ndc1 = 1\n",
        node.port
    );
    let (store, bare) = Store::start(rig, &more)?;
    drop(bare);
    let (host, port) = (format!("127.0.0.1:{}", node.port), free_port()?);
    let driver = root().join("target/release/examples/driver");
    let _served = start(&driver, &[&host, "bench", "serve", &port.to_string()], "listening")?;
    let behind = store.at(port)?;
    let mut rows = Vec::new();
    for (method, operation) in [("POST", "set"), ("GET", "get")] {
        let over_http = |uris: &str, seconds| match operation {
            "set" => store.writes_at(uris, CONNECTIONS, seconds),
            _ => reads_at(uris, CONNECTIONS, seconds),
        };
        let uris = store.at(store.port)?;
        over_http(&uris, WARM_S)?;
        let mut runs = Vec::new();
        for run in 1..=RUNS {
            let rates = Rates {
                alone: node.driver("alone", operation)?,
                engine: node.driver("engine", operation)?,
                handler: over_http(&behind, SECONDS)?,
                server: over_http(&uris, SECONDS)?,
            };
            say(&format!("{method}, run {run}: {rates:?}"));
            runs.push(rates);
        }
        rows.extend(compared(method, &runs));
    }
    Ok(rows)
}

/// What one run has measured, a second.
#[derive(Debug)]
struct Rates {
    alone: f64,
    engine: f64,
    handler: f64,
    server: f64,
}

/// The engine and the server, each beside what it can be compared with.
fn compared(method: &str, runs: &[Rates]) -> [Row; 3] {
    let of = |rate: fn(&Rates) -> f64| median(runs.iter().map(rate).collect());
    let (alone, server) = (of(|rates| rates.alone), of(|rates| rates.server));
    let row = |(what, figure), peer, note: &str| Row {
        what: format!("sessions on Cassandra: {method}{what}"),
        figure,
        unit: "/s",
        limit: None,
        peer: Some(peer),
        note: note.to_owned(),
    };
    let ratio = Some(Limit::AtLeast(0.9));
    // Routes, names, metrics and bounds are between; below this something is wrong.
    let over_http = Some(Limit::AtLeast(0.7));
    let name = "its driver alone";
    let runs = format!(
        "median of {RUNS} of {SECONDS} s, in turn, one node of Cassandra 5.0 on the same two cores, the same statements, values of 128 bytes"
    );
    [
        row(
            (", the engine", of(|rates| rates.engine)),
            Peer { name, figure: alone, ratio },
            &format!(
                "{runs}; {CONNECTIONS} tasks in each process, as `reveille sessions` opens it"
            ),
        ),
        row(
            (", both over HTTP", server),
            Peer {
                name: "its driver behind a bare hyper handler",
                figure: of(|rates| rates.handler),
                ratio: over_http,
            },
            &format!("the same runs; {CONNECTIONS} connections to each"),
        ),
        row(
            ("", server),
            Peer { name, figure: alone, ratio: None },
            &format!(
                "the same runs; {CONNECTIONS} connections against as many tasks without HTTP and without a load generator. HTTP itself bounds it: see the line above"
            ),
        ),
    ]
}
