//! The contract of every engine, on one with a clock of its own.

use std::sync::Arc;

use async_trait::async_trait;
use reveille_model::{Namespace, SessionKey, Timestamp, Ttl};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_store::contract::sessions::{World, run};
use reveille_store::{Condition, Quota, Sessions, Write};
use reveille_store_cassandra::CassandraSessions;
use reveille_testkit::Cassandra;

use crate::settings;

struct OfItsOwn(CassandraSessions);

#[async_trait]
impl World for OfItsOwn {
    fn store(&self) -> &dyn Sessions {
        &self.0
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    /// An entry that lives so long is gone.
    async fn pass(&self, seconds: u32) {
        let key = SessionKey::parse("passing").unwrap();
        let write = Write {
            key: key.clone(),
            value: "passing".into(),
            ttl: Ttl::Seconds(seconds),
            namespace: Namespace::default_one(),
            quota: Quota::default(),
            condition: Condition::None,
        };
        self.0.set(write, self.now()).await.unwrap();
        while self.0.get(&key, self.now()).await.unwrap().is_some() {}
    }
}

pub(crate) async fn keeps(cassandra: &Cassandra) {
    let store = CassandraSessions::open(settings(cassandra, "dc1")).await.unwrap();
    let world: Arc<dyn World> = Arc::new(OfItsOwn(store));
    run(async |name| {
        println!("contract: {name}");
        Arc::clone(&world)
    })
    .await;
}
