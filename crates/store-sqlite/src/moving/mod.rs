//! All of a database on its way to a store of another kind: locked, as a crash would leave it, and marked, so that no server opens it again.

mod mark;
mod select;
mod source;

pub(crate) use mark::refuse_moved;
pub use source::MoveSource;
