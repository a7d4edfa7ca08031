//! Which keys were asked of a document, and what each takes: so that the page that lists them can be held against the code.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The keys that were asked for, by path, with what each takes. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Asked(Arc<Mutex<BTreeMap<String, String>>>);

impl Asked {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a key. What was said of it first stays: a file's path is asked for as a path before it is read as a text.
    pub(super) fn add(&self, path: String, takes: impl Into<String>) {
        self.lock().entry(path).or_insert_with(|| takes.into());
    }

    /// Those asked for so far.
    pub fn keys(&self) -> BTreeMap<String, String> {
        self.lock().clone()
    }
}
