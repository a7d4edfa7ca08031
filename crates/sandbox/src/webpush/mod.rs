//! The look-alike of Web Push services (contract: providers.md §3).

mod answer;
mod checks;
mod crypto;
mod keys;
mod manner;
mod refusal;
mod style;
mod subscription;
mod vapid;

pub(crate) use answer::answer;
pub(crate) use keys::{AUTH_LEN, BrowserKeys, PRIVATE_LEN, Secret};
pub(crate) use style::Style;
pub(crate) use subscription::{Chosen, Subscriptions, is_token};
pub(crate) use vapid::Senders;
