//! The HTTP/2 client: several connections to one origin, each kept to the peer's stream limit, with what was provably not processed sent
//! again.
//!
//! Own code because no client of the field opens a second connection at the stream limit, hands unsent requests back and lets the first
//! flight be bounded, all at once.

mod connect;
mod goaway;
mod link;
mod origin;
mod pool;

pub use origin::{BadOrigin, Origin};
pub use pool::{NoReply, Pool, PoolSettings, Reply, unanswered};
