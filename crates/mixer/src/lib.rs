//! Decides when a wake-up leaves and in whose company: pure functions, no clock, no randomness source.
//!
//! The store holds, the mixer decides. Waiting wake-ups live in the store only; what is needed for a decision is passed in, and so
//! are the time and a CSPRNG. Decisions come back as data. Nothing here logs, waits, connects or is async, so that a simulation runs
//! the very code that production runs.
//!
//! - [`Schedule::window`]: the window a moment falls in.
//! - [`order`]: the shuffle of a batch.
//! - [`after`]: what a verdict means for a wake-up.
//! - [`Governor`]: what verdicts mean for a credential set, or for one scope of it.
//! - [`DropGuard`]: whether verdicts of death can be believed.
//!
//! Mode `batch` is what is built: a window's wake-ups leave together, shuffled. In mode `cohort` the same window, order and retry
//! decisions apply to expanded cohorts, and a decision `fill` (padding) joins them; see ARCHITECTURE.md.

mod drop_guard;
mod governor;
mod order;
mod retry;
mod schedule;

pub use drop_guard::{DropGuard, DropGuardSettings};
pub use governor::{Allowance, Governor, GovernorSettings, PauseSettings, Throttling};
pub use order::order;
pub use retry::{After, Attempt, Backoff, RetrySettings, after};
pub use schedule::{Schedule, Window};
