//! Who sends: what leaves in answer to one event, as a provider sees it.
//!
//! - [`window`]: grid, decoys, cohorts and sealed devices, through the production mixer.
//! - [`comparison`]: the designs the mixer is compared with. The lab's own.

mod comparison;
mod transcript;
mod window;

pub(crate) use comparison::{Comparison, longest_timer};
pub(crate) use transcript::{Bench, Push, Timer, Transcript};
pub(crate) use window::{Company, WindowSender, decoys_per_minute, per_second};

/// A design at work.
#[derive(Debug)]
pub(crate) enum Sender {
    /// Through the production mixer.
    Window(WindowSender),
    /// One of the lab's own.
    Comparison(Comparison),
}
