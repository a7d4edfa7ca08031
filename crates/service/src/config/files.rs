//! The files a configuration names, as they were before they were read.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};

/// What tells whether a file is another one, or was written since. Links are followed, so that it counts where one leads elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looks {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Looks {
    /// How a file looks now; nothing where there is none that can be looked at.
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// How files look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen(BTreeMap<PathBuf, Option<Looks>>);

impl Seen {
    /// How the same files look now.
    pub(crate) fn again(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), Looks::of(path))).collect())
    }

    /// Whether all of them are there.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.values().all(Option::is_some)
    }

    /// Whether these files, as far as `other` has seen them too, looked the same to it.
    pub(crate) fn is_as_in(&self, other: &Self) -> bool {
        self.0.iter().all(|(path, looks)| other.0.get(path).is_none_or(|seen| seen == looks))
    }

    /// A hash of all they hold; of one that cannot be read, that it cannot.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        for path in self.0.keys() {
            match std::fs::read(path) {
                Ok(content) => {
                    hash.update(&content.len().to_be_bytes());
                    hash.update(&content);
                }
                Err(_) => hash.update(&usize::MAX.to_be_bytes()),
            }
        }
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().zip(hash.finish().as_ref()) {
            *place = *byte;
        }
        bytes
    }
}

/// The files that were asked for so far. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Files(Arc<Mutex<Seen>>);

impl Files {
    /// Remembers how a file looks before it is read.
    pub(super) fn note(&self, path: &Path) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.0.contains_key(path) {
            seen.0.insert(path.to_owned(), Looks::of(path));
        }
    }

    /// All of them.
    pub(super) fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
