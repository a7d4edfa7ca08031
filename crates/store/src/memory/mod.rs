//! The in-memory store: the reference model of what a store does, and the store of most tests. Simple before fast: it looks through
//! everything where a real store has an index.

mod accept;
mod cohorts;
mod inbox;
mod members;
mod outbox;
mod preferences;
mod proofs;
mod sessions;
mod settle;
mod state;
mod subscriptions;
mod suspects;
mod trails;

pub use cohorts::CohortFacts;
pub use sessions::MemorySessions;
pub use state::MemoryStore;
