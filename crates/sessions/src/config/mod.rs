//! What an operator sets for the session store: `[sessions]`.

mod cassandra;
mod namespaces;
mod sessions;

pub use cassandra::{CassandraConfig, CassandraTls, DeleteConsistency, Login};
use namespaces::Engine;
pub(crate) use namespaces::NamespaceConfig;
pub(crate) use sessions::Put;
pub use sessions::{SessionsConfig, SessionsStoreUrl};
