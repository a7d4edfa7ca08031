//! `cargo xtask docs`: pages that come from the code, and the book of all pages.

use std::process::Command;

use crate::book;
use crate::process::{root, run, say};
use crate::tools;

/// The tests that hold pages against the code write them instead: where they are.
const PLACES: [[&str; 2]; 4] =
    [["--test", "monitoring"], ["--test", "pages"], ["--test", "clients"], ["--bin", "reveille"]];
/// What their names have in them.
const NAMES: [&str; 3] = ["the_list_of", "the_page_of", "the_types_are"];

pub(crate) fn write() -> Result<(), String> {
    let node = tools::node()?;
    for place in PLACES {
        let mut test = Command::new("cargo");
        test.args(["test", "--quiet", "-p", "reveille"]).args(place).arg("--").args(NAMES);
        test.env("REVEILLE_TEST_NODE", &node);
        run(test.env("REVEILLE_WRITE_DOCS", "1").current_dir(root()))?;
    }
    let book = book::build()?;
    say(&format!("the book is in {}", book.display()));
    Ok(())
}
