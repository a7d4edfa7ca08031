//! The project's own chores: `cargo xtask test`, `bench`, `docs`, `package`, `tidy`.

mod bench;
mod book;
mod docs;
mod package;
mod process;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "usage:
  cargo xtask test [--all] [--long]    passes every test whose needs are met, installing what it may
                                       --all   a test that is left out fails
                                       --long  thousands of kills and seeds instead of dozens and hundreds
  cargo xtask bench [PART...] [--long]  measures beside a bare peer in the same run, draws the pictures of docs/performance.md;
                                       PART is startup, intake, subscriptions, sessions, churn, cassandra, delivery, mariadb, plans, waiting, overload, isolation or profile; without one, all
                                       --long  ten million waiting, ten million sessions, an hour of overload
  cargo xtask docs                     writes those pages of docs/ anew that come from the code, and the book into target/book
  cargo xtask package [--debug]        makes a Debian package in target/package
  cargo xtask tidy                     checks what no compiler checks: layers, file lengths, manifests, words";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.split_first() {
        Some((&"test", options)) => test::run(options),
        Some((&"bench", parts)) => bench::run(parts),
        Some((&"package", options)) => package::run_with(options),
        Some((&"docs", [])) => docs::write(),
        Some((&"tidy", [])) => tidy::run(),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            process::say(&what);
            ExitCode::FAILURE
        }
    }
}
