//! The reference model of the session store keeps its own contract.
#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use reveille_model::Timestamp;
use reveille_store::Sessions;
use reveille_store::contract::sessions::{World, run};
use reveille_store::memory::MemorySessions;

#[derive(Default)]
struct Told {
    store: MemorySessions,
    now: AtomicI64,
}

#[async_trait]
impl World for Told {
    fn store(&self) -> &dyn Sessions {
        &self.store
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now.load(Ordering::Relaxed))
    }

    async fn pass(&self, seconds: u32) {
        self.now.fetch_add(i64::from(seconds) * 1_000, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    run(async |_| Arc::new(Told::default()) as Arc<dyn World>).await;
}
