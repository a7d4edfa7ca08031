//! A `MariaDB` for benchmarks, with the memory a machine would give it and every commit on disk. Prints the addresses of empty databases, and ends with its standard input.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

/// How many databases there are.
const DATABASES: usize = 12;

#[tokio::main]
async fn main() -> ExitCode {
    let options = ["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M"];
    let Some(server) = reveille_testkit::MariaDb::start_with(&options).await else {
        return ExitCode::FAILURE;
    };
    for number in 0..DATABASES {
        let url = server.create(&format!("bench{number}"));
        if writeln!(std::io::stderr(), "database {url}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    let mut ignored = Vec::new();
    if std::io::stdin().read_to_end(&mut ignored).is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
