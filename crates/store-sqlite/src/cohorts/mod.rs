//! Cohorts in SQLite: who is in them, what was accepted for them, and what leaves.

mod company;
mod founding;
mod looking;
mod marks;
mod members;
mod mixing;
mod traits;

pub(crate) use marks::wake_cohort;
pub(crate) use members::Estate;
pub(crate) use mixing::Mixing;
