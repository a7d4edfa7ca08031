//! Cohorts on disk: what a database tells of who was meant, which is nothing, and what survives restarts.
#![cfg(test)]

mod life;
mod rig;
mod traces;
