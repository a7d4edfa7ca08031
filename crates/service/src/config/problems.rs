//! What is wrong with a configuration.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

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
pub struct Problems(Rc<RefCell<Vec<ConfigProblem>>>);

impl Problems {
    /// Adds one.
    pub fn add(&self, path: impl Into<String>, what: impl Into<String>) {
        self.0.borrow_mut().push(ConfigProblem { path: path.into(), what: what.into() });
    }

    /// Whether nothing was found so far.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Those found so far, each once, in order of their paths.
    pub fn take(&self) -> Vec<ConfigProblem> {
        let mut found = std::mem::take(&mut *self.0.borrow_mut());
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found.dedup();
        found
    }
}
