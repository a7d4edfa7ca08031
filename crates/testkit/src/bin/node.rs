//! One node of Cassandra for benchmarks. Prints its port once clients can connect, and ends with its standard input.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(cassandra) = reveille_testkit::Cassandra::start_one().await else {
        return ExitCode::FAILURE;
    };
    let said = writeln!(std::io::stderr(), "port {}", cassandra.port());
    let mut ignored = Vec::new();
    let ended = std::io::stdin().read_to_end(&mut ignored);
    if said.is_ok() && ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
