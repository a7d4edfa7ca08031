//! `cargo xtask docs`: pages that come from the code.

use std::process::Command;

use crate::process::{root, run};
use crate::tools;

/// The tests that hold a page against the code, each with its file: they write it instead.
const PAGES: [(&str, &str); 2] = [
    ("monitoring", "the_list_of_metrics_is_what_the_code_says"),
    ("clients", "the_types_are_what_the_code_says"),
];

pub(crate) fn write() -> Result<(), String> {
    let node = tools::node()?;
    for (file, page) in PAGES {
        let mut test = Command::new("cargo");
        test.args(["test", "--quiet", "-p", "reveille", "--test", file, page]);
        test.env("REVEILLE_TEST_NODE", &node);
        run(test.env("REVEILLE_WRITE_DOCS", "1").current_dir(root()))?;
    }
    Ok(())
}
