//! The session store on Cassandra, in the table and with the statements of Kask, so that both may run on one keyspace.
//!
//! `statements.rs` has every statement and its consistency; `deletes.rs` what becomes of deletions that other data centres could not confirm;
//! `second.rs` asks another node where one is slow.

mod connect;
mod deletes;
mod error;
mod retry;
mod schema;
mod second;
mod settings;
mod statements;
mod store;

pub use error::CassandraError;
pub use schema::migrate;
pub use settings::{CassandraSettings, DeleteAnswer, Replication, Tls};
pub use store::CassandraSessions;
