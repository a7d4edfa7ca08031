//! Feedback `mediawiki`: deletes dead tokens from the subscriptions of a wiki, as the push service of its extension Echo is to do it (API module
//! `echopushsubscriptions`): by token, with an account of the group `push-subscription-manager`, some at a time, and again until the wiki has done it.
//!
//! The wiki deletes by token alone. So a death is told at once, and not at all once a push to its token was taken since.

mod account;
mod deletion;
mod jar;

pub(crate) use account::{MediaWikiConfig, Password, REQUEST_TIME_MAX, try_account};
pub(crate) use deletion::MediaWiki;
