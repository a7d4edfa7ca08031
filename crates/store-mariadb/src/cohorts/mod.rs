//! Cohorts in `MariaDB`: who is in them, what was accepted for them, and what leaves.
//!
//! Who is in which cohort is changed by one transaction at a time, which takes the members' turn first; so is waking one. Intake takes no turn: it holds the rows of the
//! members it marks cohorts for, and whoever brings those to another cohort waits until what was marked can be seen, and takes it along.

mod company;
mod founding;
mod looking;
mod marks;
mod members;
mod mixing;
mod mustering;
mod traits;

pub(crate) use self::marks::wake_cohort;
pub(crate) use self::members::Estate;
pub(crate) use self::mixing::Mixing;
pub(crate) use self::mustering::LEFT_ALONE_US;
