//! The tables in which `MediaWiki`'s extension Echo keeps push subscriptions (contract: echo.md §2): `echo_push_subscription`, and `echo_push_provider` and
//! `echo_push_topic`, which give names to its numbers. In `MariaDB`, or as files of a folder, one for each table.
//!
//! A [`Source`] is read in pages: a database in the order of ids, a folder as its rows stand. A [`Sink`] takes rows back.

mod dump;
mod error;
mod mariadb;
mod row;
mod sink;
mod source;

pub use error::EchoError;
pub use row::EchoRow;
pub use sink::Sink;
pub use source::Source;
