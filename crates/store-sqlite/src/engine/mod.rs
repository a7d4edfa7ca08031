//! The threads: one writer with group commit, a few readers.

mod reader;
mod writer;

pub(crate) use reader::Readers;
pub use writer::Activity;
pub(crate) use writer::{Tables, Writer};
