//! Telling others of dead tokens. Our own subscriptions go with the settlement itself; what is here comes in addition.

mod secret;
mod webhook;

pub(crate) use secret::Secret;
pub(crate) use webhook::{Webhook, WebhookConfig};
