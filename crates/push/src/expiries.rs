//! When credentials end: shown as a metric and at the console, and changed where they are read again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use reveille_model::{CredentialSet, Timestamp};

use crate::board::lock;
use crate::metrics::show_expiry;

/// The ends that are known. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Expiries(Arc<Mutex<BTreeMap<CredentialSet, Timestamp>>>);

impl Expiries {
    /// A credential set's certificate ends then.
    pub fn put(&self, set: &CredentialSet, end: Timestamp) {
        lock(&self.0).insert(set.clone(), end);
        show_expiry(set, end);
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(CredentialSet, Timestamp)> {
        lock(&self.0).iter().map(|(set, end)| (set.clone(), *end)).collect()
    }

    /// That of a credential set, if it ends.
    pub(crate) fn of(&self, set: &CredentialSet) -> Option<Timestamp> {
        lock(&self.0).get(set).copied()
    }
}
