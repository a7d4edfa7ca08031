//! What an operator sets for the push server: `[push]` and the providers' sections.

mod apns;
mod auth;
mod console;
mod delivery;
mod events;
mod fcm;
mod feedback;
mod mix;
mod public;
mod push;
mod store;
mod webpush;
mod wiki;

pub use apns::ApnsSection;
pub(crate) use console::ConsoleConfig;
pub use events::EventConfig;
pub use fcm::FcmSection;
pub(crate) use feedback::{DropGuardConfig, FeedbackConfig, FeedbackSecret};
pub(crate) use mix::{MixConfig, MixMode};
pub use public::PublicConfig;
pub(crate) use push::Intake as IntakeSection;
pub use push::{Providers, PushConfig};
pub use store::{MariaDbConfig, StoreUrl};
pub use webpush::{BrowserKey, WebPushSection};
