//! Telling others of dead tokens. Our own subscriptions go with the settlement itself; what is here comes in addition.

mod mediawiki;
mod secret;
mod webhook;

pub(crate) use mediawiki::{MediaWiki, MediaWikiConfig, Password, REQUEST_TIME_MAX, try_account};
pub(crate) use secret::Secret;
pub(crate) use webhook::{Webhook, WebhookConfig};
