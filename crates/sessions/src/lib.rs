//! The session store: values under keys, each for a time, over HTTP as Kask has it.
//!
//! `api/` says what a request means and what is answered; `namespaces.rs` whose a key is; the rest is configuration and wiring.

mod api;
mod app;
mod config;
mod metrics;
mod namespaces;
mod upkeep;

pub use api::openapi;
pub use app::{Parts, SessionsServer, StartError};
pub use config::{
    CassandraConfig, CassandraTls, DeleteConsistency, Login, SessionsConfig, SessionsStoreUrl,
};
pub use metrics::{BUCKETS, describe_metrics};
