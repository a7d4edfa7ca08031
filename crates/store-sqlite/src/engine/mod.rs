//! The threads: one writer with group commit, a few readers. What a command works on is a [`State`]: the push server's is [`Tables`].

mod file;
mod journaled;
mod reader;
mod state;
mod tables;
mod thread;
mod writer;

pub use file::Found;
pub(crate) use file::{connect, lock, look, rewrite};
pub(crate) use reader::Readers;
pub(crate) use state::State;
pub(crate) use tables::{Lease, Tables};
pub(crate) use thread::WriterThread;
pub use writer::Activity;
pub(crate) use writer::{Rewrite, Writer};
