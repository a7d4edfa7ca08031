//! `cargo xtask docs`: pages that come from the code.

use std::process::Command;

use crate::process::{root, run};

/// The tests that hold a page against the code write it instead.
const PAGES: [&str; 1] = ["the_list_of_metrics_is_what_the_code_says"];

pub(crate) fn write() -> Result<(), String> {
    for page in PAGES {
        let mut test = Command::new("cargo");
        test.args(["test", "--quiet", "-p", "reveille", "--test", "monitoring", page]);
        run(test.env("REVEILLE_WRITE_DOCS", "1").current_dir(root()))?;
    }
    Ok(())
}
