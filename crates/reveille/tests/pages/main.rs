//! The reference pages of the book are what the code says; `cargo xtask docs` writes them anew.
#![cfg(test)]

mod api;
mod configuration;
mod errors;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(name: &str) -> PathBuf {
    root().join("docs/reference").join(name)
}
