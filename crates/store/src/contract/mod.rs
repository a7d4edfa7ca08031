//! The contract: what every store does, as cases that run against any of them.
//!
//! A store's own test calls [`run`] with a function that makes an empty one.

mod accepting;
mod claiming;
mod cohort_scene;
mod cohorts;
mod company;
mod keeping;
mod limiting;
mod looking;
mod moving;
mod providers;
mod proving;
mod scene;
pub mod sessions;
mod settling;
mod spreading;
mod suspecting;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::Store;

/// A case: takes an empty store, panics where the store breaks the contract.
pub type Case = fn(Arc<dyn Store>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// All cases, by name.
pub fn cases() -> Vec<(&'static str, Case)> {
    [
        accepting::cases(),
        claiming::cases(),
        settling::cases(),
        suspecting::cases(),
        keeping::cases(),
        limiting::cases(),
        spreading::cases(),
        looking::cases(),
        proving::cases(),
        cohorts::cases(),
        company::cases(),
        moving::cases(),
        providers::cases(),
    ]
    .concat()
}

/// Runs every case against a store of its own, which `empty_store` makes; it is told the case's name, to print it.
pub async fn run(mut empty_store: impl FnMut(&str) -> Arc<dyn Store>) {
    for (name, case) in cases() {
        case(empty_store(name)).await;
    }
}
