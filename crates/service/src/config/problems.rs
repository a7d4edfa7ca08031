//! What is wrong with a configuration.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where: `push.mix.window_s`.
    pub path: String,
    /// What is wrong and what to do.
    pub what: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// Everything that is wrong, collected while reading. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Problems(Arc<Mutex<Vec<ConfigProblem>>>);

impl Problems {
    /// Adds one.
    pub fn add(&self, path: impl Into<String>, what: impl Into<String>) {
        self.found().push(ConfigProblem { path: path.into(), what: what.into() });
    }

    /// Whether nothing was found so far.
    pub fn is_empty(&self) -> bool {
        self.found().is_empty()
    }

    /// Those found so far, each once, in order of their paths.
    pub fn take(&self) -> Vec<ConfigProblem> {
        let mut found = std::mem::take(&mut *self.found());
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found.dedup();
        found
    }

    fn found(&self) -> MutexGuard<'_, Vec<ConfigProblem>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
