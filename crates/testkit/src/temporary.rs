//! Directories that go with their test.

use std::path::{Path, PathBuf};

/// An empty directory of its own, removed at the end.
#[derive(Debug)]
pub struct Dir(PathBuf);

impl Dir {
    /// Creates one.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn new() -> Self {
        let number = reveille_service::entropy::rng().next_u64();
        let path = std::env::temp_dir().join(format!("reveille-test-{number:016x}"));
        std::fs::create_dir(&path).expect("a directory for the test");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Default for Dir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // A process that is still ending may write into it.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
