//! `reveille lab`: what somebody who sees every push can tell.

mod attack;
mod bar;
mod json;
mod output;
mod table;
mod text;

pub(crate) use attack::attack;
pub(crate) use table::table;
