//! What an operator sets for the push server: `[push]` and the providers' sections.

mod fcm;
mod push;

pub use fcm::FcmSection;
pub use push::{PushConfig, StoreUrl};
