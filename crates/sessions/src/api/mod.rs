//! What a request means and what is answered.

mod conditions;
mod docs;
mod entries;
mod operations;
mod path;
mod reference;
mod refusal;
mod router;

pub use docs::described as openapi;
pub(crate) use router::{ApiState, Shared, Troubles, router};
