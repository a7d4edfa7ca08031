//! How anything is written: lanes, transactions that are tried again, and who else is there.

mod lanes;
mod nodes;
mod sets;
mod shared;
mod tables;
mod transaction;

pub(crate) use self::lanes::{LANES, Lane};
pub(crate) use self::nodes::{NODES_MAX, Node};
pub(crate) use self::sets::Sets;
pub(crate) use self::shared::{Engine, Masters};
pub(crate) use self::tables::{Counted, Tables};
pub(crate) use self::transaction::{NOT_IN_TIME, NOW_US};
