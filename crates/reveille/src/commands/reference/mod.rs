//! The configurations of the services whose place ours takes, as ours.

pub(crate) mod kask;
pub(crate) mod push;
mod secrets;
mod yaml;
