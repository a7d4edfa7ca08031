//! The outbox in SQLite, one file for each step of the way.

mod accept;
mod audience;
mod claim;
mod depth;
mod direct;
mod expand;
mod plan;
mod release;
mod settle;
mod sweep;
mod tables;
mod traits;
mod waiting;

pub(crate) use direct::{Direct, wake_now};
pub(crate) use expand::{ToWake, wake};
pub(crate) use settle::end;
pub(crate) use waiting::{Waiting, find_waiting, join_twins, waiting_of};
