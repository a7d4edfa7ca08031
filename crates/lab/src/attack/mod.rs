//! An observer of logs: black box, it knows when something happened to an account and which device was pushed when, and nothing of how the
//! service works but how long a push may take.
//!
//! Times are whole numbers of any unit; the logs and `max_delay` have the same one.
//!
//! - [`logs`]: reading them, with every bound and mistake named.
//! - [`trace`]: the log of pushes, by time and by device.
//! - [`accounts`]: whose events there are, and whose devices.
//! - [`score`]: naming the device of each account, event by event.
//! - [`history`]: which devices cannot be told apart, because they were always pushed together.
//! - [`order`]: whether pushes leave in the order in which events came.

mod accounts;
mod departures;
mod history;
mod logs;
mod order;
mod report;
mod score;
mod trace;

pub use history::History;
pub use logs::{Event, LogError, Owner, Push, ROWS_MAX, read_events, read_owners, read_pushes};
pub use order::Order;
pub use report::{Attack, AttackError, AttackSettings, Point, attack};
