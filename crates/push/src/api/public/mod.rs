//! The public API: of devices and browsers, each acting for the user it is logged in as.

mod caller;
mod docs;
mod error;
mod inbox;
mod logged_out;
mod preferences;
mod rates;
mod router;
mod subscriptions;

pub use docs::openapi;
pub(in crate::api) use error::CallerError;
pub(crate) use rates::RateLimits;
pub(crate) use router::{PublicState, router};
