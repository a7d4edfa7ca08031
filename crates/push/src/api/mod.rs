//! The APIs: [`intake`] for callers inside the cluster, [`public`] for devices and browsers, and beside it [`mediawiki`] for apps that know a wiki.

mod body;
mod describe;
mod devices;
mod error;
mod extract;
mod headers;
mod intake;
mod mediawiki;
mod padding;
mod public;
mod user_error;

pub(crate) use devices::Devices;
pub use intake::openapi as intake_openapi;
pub(crate) use intake::{ApiState, Deed, router as intake_router};
pub(crate) use mediawiki::ActionApi;
pub use public::openapi as public_openapi;
pub(crate) use public::{PublicState, RateLimits, router as public_router};
