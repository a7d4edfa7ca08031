//! The private API: of callers inside the cluster, never of the internet.

mod docs;
mod halting;
mod importing;
mod info;
mod message;
mod notifications;
mod operations;
mod quarantine;
mod router;
mod subscriptions;
mod trail;
mod users;

pub use docs::openapi;
pub(crate) use quarantine::Deed;
pub(crate) use router::{ApiState, router};
