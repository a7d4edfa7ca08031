//! Firebase Cloud Messaging, HTTP v1.

mod config;
mod reply;
mod request;
mod sender;

pub use config::{FcmConfig, Priority};
pub use reply::reply;
pub use request::{body, request};
pub use sender::FcmSender;
