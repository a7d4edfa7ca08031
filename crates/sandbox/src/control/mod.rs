//! The control port: what arrived, faults to play, browsers' subscriptions, settings, counters.

mod change;
mod routes;

pub(crate) use routes::router;
