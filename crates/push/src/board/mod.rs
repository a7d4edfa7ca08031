//! What this process has seen of itself in the last minutes, for whoever looks at the console: numbers in memory, in rings of a fixed length, gone with the process.
//!
//! Nothing here says when a device was woken, or for whom: of a device there is only what its provider last said.

mod meter;
mod seen;

pub(crate) use self::meter::{Recent, Went};
pub(crate) use self::seen::{BatchSeen, Board, Change, Growth, PrivacySeen, SetSeen, lock};
