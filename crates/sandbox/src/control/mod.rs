//! The control port: what arrived, faults to play, counters.

mod routes;

pub(crate) use routes::router;
