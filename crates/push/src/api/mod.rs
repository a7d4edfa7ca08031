//! The private API.

mod body;
mod docs;
mod error;
mod info;
mod message;
mod notifications;
mod operations;
mod quarantine;
mod router;
mod subscriptions;
mod trail;

pub use docs::openapi;
pub(crate) use operations::Readiness;
pub(crate) use router::{ApiState, router};
