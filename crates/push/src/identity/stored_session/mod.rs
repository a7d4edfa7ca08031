//! Sessions as MediaWiki stores them.

mod envelope;
mod php;

pub(super) use envelope::{Integrity, decode};
