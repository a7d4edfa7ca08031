//! A store is moved from a file into a real `MariaDB`, by the real binary: killed in between, refused, taken back; and answers as it did before.
#![cfg(test)]

mod killed;
mod questions;
mod refused;
mod rig;
mod scene;
