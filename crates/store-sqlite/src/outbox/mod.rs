//! The outbox in SQLite, one file for each step of the way.

mod accept;
mod claim;
mod depth;
mod expand;
mod settle;
mod sweep;
mod tables;
mod traits;

pub(crate) use settle::{end, give_back_all};
