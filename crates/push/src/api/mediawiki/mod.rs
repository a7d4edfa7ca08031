//! The Action API facade: the part of `MediaWiki`'s `api.php` that its apps need to be woken and to read what for (contract: echo.md §1, §6), so that
//! apps that know a wiki with the extension Echo know Reveille.
//!
//! A module is a function from a [`Call`](entry::Call) to members of an answer, or to a fault. In what order things are checked is part of the contract.

mod csrf;
mod entry;
mod fault;
mod help;
mod item;
mod notifications;
mod output;
mod parameters;
mod query;
mod subscriptions;

pub(crate) use entry::ActionApi;
pub(in crate::api) use entry::handle;
pub(in crate::api) use output::CODE_HEADER;
