//! The privacy lab: what somebody who sees every push can tell of who was meant.
//!
//! Two halves. [`table`] puts an observer who knows everything but the answer before the designs of a push service: of these grid, decoys,
//! cohorts and sealed devices are sent by the production mixer, and the designs they are compared with are the lab's own. [`attack`] is an
//! observer of logs: it knows when something happened to an account and which device was pushed when, and nothing else.
//!
//! All of it is seeded and repeats itself exactly, on however many threads it runs. There is no clock, and no file but those of
//! [`attack`]'s callers.

mod attack;
mod check;
mod cohorts;
mod cost;
mod counts;
mod delay;
mod design;
mod plot;
mod population;
mod posterior;
#[cfg(test)]
mod proofs;
mod propose;
mod sender;
mod setting;
mod statistics;
mod table;
mod trials;
mod watcher;
mod weighted;
mod world;

pub use attack::{
    Attack, AttackError, AttackSettings, Event, History, LogError, Order, Owner,
    Point as AttackPoint, Push, ROWS_MAX, attack, read_events, read_owners, read_pushes,
};
pub use check::{Bound, CHECK_EVENTS, Figure, check_designs, judge, reference_point};
pub use cost::{Capped, Wakeups};
pub use delay::{Delays, Waits};
pub use design::{Design, DesignError};
pub use plot::{Picture, PlotError, png, svg};
pub use propose::{Choice, Proposal, propose};
pub use setting::{Setting, SettingError};
pub use statistics::grouped;
pub use table::{Plan, Point, Row, table};
pub use trials::Progress;
