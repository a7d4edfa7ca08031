//! Moving all of a push server's store into a store of another kind: rows as both write them, without what only one of them needs.
//!
//! What is sealed is opened on the way, because each store has a key of its own; what is found by a keyed hash is hashed anew. Numbers stay, so that what refers to
//! a row finds it.

mod cells;
mod columns;
mod table;

pub use cells::{Cell, Digest, Page, Row, pack, unpack};
pub use columns::Column;
pub use table::{COUNTS, Kind, Table};
