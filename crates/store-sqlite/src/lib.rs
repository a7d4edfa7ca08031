//! The embedded store: SQLite in WAL mode, one writer with group commit.
//!
//! `engine/` runs the threads: everything that writes goes to one thread, which puts all waiting commands into one transaction and
//! answers them after its commit. The other files are the traits of `reveille-store`, statement by statement; `sessions/` is the session store, in
//! a database of its own.

mod codec;
mod cohorts;
mod engine;
mod feedback;
mod importing;
mod inbox;
mod keys;
mod migrations;
mod moving;
mod outbox;
mod preferences;
mod proofs;
mod quarantine;
mod residue;
mod sealing;
mod sessions;
mod store;
mod subscriptions;
mod suspects;
mod trails;
mod users;

pub use engine::{Activity, Found};
pub use moving::MoveSource;
pub use reveille_vault::{KeyFile, KeyId};
pub use sealing::Progress;
pub use sessions::SqliteSessions;
pub use store::{OpenError, SqliteStore};
