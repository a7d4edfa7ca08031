//! The privacy lab: what somebody who sees every push can tell of who was meant.
//!
//! [`table`] puts an observer who knows everything but the answer before the designs of a push service: of these grid, decoys, cohorts and
//! sealed devices are sent by the production mixer, and the designs they are compared with are the lab's own.
//!
//! All of it is seeded and repeats itself exactly, on however many threads it runs. There is no clock and no file.

mod check;
mod cohorts;
mod cost;
mod design;
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

pub use check::{Bound, CHECK_EVENTS, Figure, check_designs, judge, reference_point};
pub use cost::{Capped, Wakeups};
pub use design::{Design, DesignError};
pub use propose::{Choice, Proposal, propose};
pub use setting::{Setting, SettingError};
pub use table::{Plan, Point, Row, table};
pub use trials::Progress;
