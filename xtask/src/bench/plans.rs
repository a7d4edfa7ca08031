//! What the database does for each statement of ours when its tables are full: no statement may read one whole.

use std::process::Command;

use super::report::{Limit, Row};
use crate::process::{output, root, say};
use crate::tools;

/// Rows of each table that grows.
const ROWS: u64 = 10_000_000;
/// How the test begins what it says at its end.
const RESULT: &str = "plans: ";

pub(super) fn measure() -> Result<Row, String> {
    say(&format!("filling 15 tables with {ROWS} rows takes a quarter of an hour"));
    let mut test = Command::new("cargo");
    test.args(["test", "--quiet", "-p", "reveille-store-mariadb", "--test", "plans"]);
    test.args(["no_statement_reads_a_whole_table", "--", "--nocapture"]).current_dir(root());
    test.env("REVEILLE_TEST_MARIADB", tools::mariadb()?);
    test.env("REVEILLE_TEST_ROWS", ROWS.to_string());
    let said = output(&mut test)?;
    let result = said.lines().find_map(|line| line.split_once(RESULT)).map(|(_, result)| result);
    let mut numbers = result.ok_or("the test says nothing")?.split(' ');
    let mut number = || numbers.next().and_then(|word| word.parse::<u32>().ok());
    let (Some(whole), Some(statements)) = (number(), number()) else {
        return Err("the test says no numbers".to_owned());
    };
    Ok(Row {
        what: "on MariaDB: statements that read a whole table of 10 million rows".to_owned(),
        figure: f64::from(whole),
        unit: "",
        limit: Some(Limit::AtMost(0.0)),
        peer: None,
        note: format!(
            "of {statements}: all that the store's contract makes it say, each explained by the database; 15 tables of {ROWS} rows, or a hundredth where they are rare"
        ),
    })
}
