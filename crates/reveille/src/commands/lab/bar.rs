//! How far long work has come, on a terminal; nothing in a pipe.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::say;

/// So many characters are the whole.
const WIDTH: usize = 30;

/// A bar on standard error. Gone once it is dropped.
#[derive(Debug)]
pub(super) struct Bar {
    what: &'static str,
    is_shown: bool,
    percent: AtomicUsize,
}

impl Bar {
    pub(super) fn new(what: &'static str) -> Self {
        let is_shown = std::io::stderr().is_terminal();
        Self { what, is_shown, percent: AtomicUsize::new(0) }
    }

    /// So many of so many are done. From any thread.
    pub(super) fn show(&self, done: usize, total: usize) {
        let percent = 100 * done / total.max(1);
        if self.is_shown && self.percent.fetch_max(percent, Ordering::Relaxed) < percent {
            let full = WIDTH * percent / 100;
            let (full, empty) = ("█".repeat(full), "░".repeat(WIDTH.saturating_sub(full)));
            say::progress(&format!("{} {full}{empty} {percent:>3} %", self.what));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.is_shown {
            say::progress("");
        }
    }
}
