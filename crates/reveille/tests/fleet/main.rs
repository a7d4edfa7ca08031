//! Several real processes on one real `MariaDB`: killed, paused, restarted, and used all at once.
#![cfg(test)]

mod agreeing;
mod cohorts;
mod cut;
mod faults;
mod fleet;
mod galera;
mod rolling;
