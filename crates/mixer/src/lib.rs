//! Decides when a wake-up leaves and in whose company: pure functions, no clock, no randomness source.
//!
//! The store holds, the mixer decides. Waiting wake-ups live in the store only; what is needed for a decision is passed in, and so
//! are the time and a CSPRNG. Decisions come back as data. Nothing here logs, waits, connects or is async, so that a simulation runs
//! the very code that production runs.
//!
//! - [`Schedule::window`]: the window a moment falls in.
//! - [`Schedule::spread`]: the windows over which very many wake-ups are spread.
//! - [`order`]: the shuffle of a batch.
//! - [`form`]: who is woken together.
//! - [`leaves`], [`fill`], [`Budget`]: which cohorts a batch is made of.
//! - [`last_beat`], [`noops`]: wake-ups that nothing has caused.
//! - [`after`]: what a verdict means for a wake-up.
//! - [`Governor`]: what verdicts mean for a credential set, or for one scope of it.
//! - [`Shares`]: which callers may have more accepted.
//! - [`DropGuard`]: whether verdicts of death can be believed.
//! - [`effective_set`], [`events_to_link`], [`order_rho`], [`worst_case_top1`]: what an observer can tell.

mod anonymity;
mod beat;
mod cohort;
mod drop_guard;
mod governor;
mod muster;
mod order;
mod pace;
mod retry;
mod schedule;
mod shares;

pub use anonymity::{effective_set, events_to_link, order_rho, worst_case_top1};
pub use beat::{last_beat, noops};
pub use cohort::form;
pub use drop_guard::{DropGuard, DropGuardSettings};
pub use governor::{Allowance, Governor, GovernorSettings, PauseSettings, Throttling};
pub use muster::{MusterSettings, Stays, fill, leaves, wants_padding};
pub use order::order;
pub use pace::Budget;
pub use retry::{After, Attempt, Backoff, RetrySettings, after};
pub use schedule::{Schedule, Window};
pub use shares::{PARTS, Shares};
