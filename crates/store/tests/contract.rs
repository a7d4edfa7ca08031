//! The in-memory store keeps the contract.
#![cfg(test)]

use std::sync::Arc;

use reveille_store::contract;
use reveille_store::memory::MemoryStore;

#[tokio::test]
async fn memory_store_keeps_the_contract() {
    contract::run(|name| {
        println!("case: {name}");
        Arc::new(MemoryStore::default())
    })
    .await;
}
