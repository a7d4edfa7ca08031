//! The threads: one writer with group commit, a few readers.

mod journaled;
mod reader;
mod tables;
mod writer;

pub(crate) use reader::Readers;
pub(crate) use tables::{Lease, Tables};
pub use writer::Activity;
pub(crate) use writer::{Rewrite, Writer};
