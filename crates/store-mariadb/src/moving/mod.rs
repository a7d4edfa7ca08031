//! What comes from a store of another kind: written page by page, each with a note of how far it came, and read again to see that all of it is there.

mod insert;
mod select;
mod sink;
mod stored;
mod unfinished;

pub use sink::{MoveSink, Reached, Standing};
pub(crate) use unfinished::refuse_unfinished;
