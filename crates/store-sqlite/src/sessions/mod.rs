//! The session store, on a database of its own.

mod entries;
mod migrations;
mod state;
mod store;

pub use store::SqliteSessions;
