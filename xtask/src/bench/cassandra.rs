//! The session store on Cassandra, beside its driver alone with the same statements on the same node.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::report::{Limit, Peer, Row, median};
use super::rig::{Rig, free_port, start};
use super::sessions::{KEYS, Store, reads_at};
use crate::process::{output, root, run, say};
use crate::tools;

const RUNS: usize = 3;
const SECONDS: u32 = 6;
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

    fn driver(&self, operation: &str) -> Result<f64, String> {
        let host = format!("127.0.0.1:{}", self.port);
        let (keys, seconds) = (KEYS.to_string(), SECONDS.to_string());
        let mut driver = Command::new(root().join("target/release/examples/driver"));
        driver.args([&host, "bench", operation, CONNECTIONS, &keys, &seconds]);
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
        let ours = |seconds| match operation {
            "set" => store.writes(CONNECTIONS, seconds),
            _ => store.reads(CONNECTIONS, seconds),
        };
        // Java is slow until it is warm.
        ours(3 * SECONDS)?;
        let (mut of_store, mut of_driver, mut of_handler) = (Vec::new(), Vec::new(), Vec::new());
        for run in 1..=RUNS {
            of_driver.push(node.driver(operation)?);
            of_store.push(ours(SECONDS)?);
            of_handler.push(match operation {
                "set" => store.writes_at(&behind, CONNECTIONS, SECONDS)?,
                _ => reads_at(&behind, CONNECTIONS, SECONDS)?,
            });
            let [ours, alone, served] =
                [&of_store, &of_driver, &of_handler].map(|rates| rates.last().copied());
            say(&format!("{method}, run {run}: {ours:?}, driver {alone:?}, served {served:?}"));
        }
        let figure = median(of_store);
        rows.push(Row {
            what: format!("sessions on Cassandra: {method}"),
            figure,
            unit: "/s",
            limit: None,
            peer: Some(Peer {
                name: "its driver alone",
                figure: median(of_driver),
                ratio: Some(Limit::AtLeast(0.9)),
            }),
            note: format!("median of {RUNS}, {CONNECTIONS} connections against as many tasks, one node of Cassandra 5.0 on the same two cores, the same statements, values of 128 bytes"),
        });
        rows.push(Row {
            what: format!("sessions on Cassandra: {method}, both over HTTP"),
            figure,
            unit: "/s",
            limit: None,
            peer: Some(Peer {
                name: "its driver behind a bare hyper handler",
                figure: median(of_handler),
                ratio: Some(Limit::AtLeast(0.9)),
            }),
            note: format!("the same runs; {CONNECTIONS} connections to each"),
        });
    }
    Ok(rows)
}
