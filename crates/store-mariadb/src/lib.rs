//! The store of many nodes: `MariaDB`, and Galera where several masters are wanted.
//!
//! Any number of processes share a database. What they must agree on is in it: which windows are closed, who holds which wake-up and for how long,
//! how much was counted. Nothing is decided by what a process remembers. The same contract as the embedded store, which is the one to read first;
//! what is different here is said where it is:
//!
//! - `engine/`: lanes, so that counting all together makes nobody wait; transactions that are tried again; intake in groups.
//! - `outbox/`: the gate that no request passes once its window is closed; leases that are written down; a release that one node leads.
//! - `cohorts/`: whoever changes who is in which cohort waits for their turn.

mod codec;
mod cohorts;
mod connect;
mod engine;
mod error;
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
mod rows;
mod sealing;
mod settings;
mod statement;
mod store;
mod subscriptions;
mod suspects;
mod trails;
mod users;

pub use error::MariaDbError;
pub use migrations::SCHEMA_VERSION;
pub use moving::{MoveSink, Reached, Standing};
pub use settings::MariaDbSettings;
pub use store::MariaDbStore;
