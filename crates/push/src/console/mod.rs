//! `/console`: pages for operators, made by the server from what the store and the [board](crate::board) know. Live without a reload; of use without a script.
//!
//! A page is a list of *parts*. What its stream sends is the same parts again, made by the same code, where they have changed. What an operator can press or type into stands
//! beside the parts and is never replaced.

mod assets;
mod chart;
mod configuration;
mod feedback;
mod growth;
mod live;
mod look_up;
mod overview;
mod page;
mod privacy;
mod providers;
mod router;
mod session;
mod state;
mod subscriptions;
mod words;

pub(crate) use self::router::router;
pub(crate) use self::state::{Console, Facts};
