//! The trait, handed on to the steps.

use async_trait::async_trait;
use reveille_model::{CredentialSet, Providers, Shuffle, Timestamp, Topic};
use reveille_store::{
    AcceptError, Acceptance, Accepted, Claim, Claimed, Depth, Expanded, Halt, Outbox, SettleBatch,
    SettleReport, StoreError, Sweep, Swept,
};

use super::release::Step;
use super::{accept, claim, depth, plan, release, settle, sweep};
use crate::SqliteStore;
use crate::codec::store_error;
use crate::engine::Tables;

impl SqliteStore {
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Tables) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(|tables| command(tables).map_err(|error| store_error(&error))).await
    }
}

#[async_trait]
impl Outbox for SqliteStore {
    async fn accept(&self, acceptance: Acceptance) -> Result<Accepted, AcceptError> {
        let sealed = accept::seal(&self.vault, &acceptance.items);
        self.writer.write_or_refuse(move |tables| accept::accept(tables, acceptance, sealed)).await
    }

    async fn close(&self, until: Timestamp) -> Result<(), StoreError> {
        self.write(move |tables| release::close(tables, until)).await
    }

    async fn expand(&self, until: Timestamp, shuffle: Shuffle) -> Result<Expanded, StoreError> {
        loop {
            match self.writer.write(move |tables| release::step(tables, until, shuffle)).await? {
                Step::Did(expanded) => return Ok(expanded),
                // Beside the writer: intake goes on.
                Step::Plan(what) => {
                    let make = move |connection: &_| {
                        plan::make(connection, what).map_err(|error| store_error(&error))
                    };
                    let made = self.readers.read(make).await?;
                    let keep = |tables: &mut Tables| {
                        tables.plan = Some(made);
                        Ok(())
                    };
                    self.write(keep).await?;
                }
            }
        }
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, StoreError> {
        self.write(move |tables| claim::claim(tables, &claim)).await
    }

    async fn settle(&self, batch: SettleBatch) -> Result<SettleReport, StoreError> {
        self.write(move |tables| settle::settle(tables, &batch)).await
    }

    async fn next_due(&self, set: &CredentialSet) -> Result<Option<Timestamp>, StoreError> {
        let set = set.clone();
        self.write(move |tables| claim::next_due(tables, &set)).await
    }

    async fn pause(&self, set: &CredentialSet, until: Timestamp) -> Result<(), StoreError> {
        let set = set.clone();
        self.write(move |tables| {
            let id = tables.set_id(&set)?;
            tables
                .connection
                .prepare_cached("UPDATE credential_sets SET paused_until = ?2 WHERE id = ?1")?
                .execute([id, until.as_ms()])
                .map(drop)
        })
        .await
    }

    async fn halt(&self, change: Halt) -> Result<Providers, StoreError> {
        self.write(move |tables| {
            let connection = &tables.connection;
            let bits = connection.query_row("SELECT halted FROM state", [], |row| row.get(0))?;
            let halted = change.after(Providers::from_bits(bits));
            connection
                .prepare_cached("UPDATE state SET halted = ?1")?
                .execute([halted.bits()])
                .map(|_| halted)
        })
        .await
    }

    async fn halted(&self) -> Result<Providers, StoreError> {
        self.readers
            .read(move |connection| {
                connection
                    .query_row("SELECT halted FROM state", [], |row| row.get(0))
                    .map(Providers::from_bits)
                    .map_err(|error| store_error(&error))
            })
            .await
    }

    async fn adopt(
        &self,
        from: &CredentialSet,
        topic: &Topic,
        to: &CredentialSet,
    ) -> Result<u64, StoreError> {
        let (from, topic, to) = (from.clone(), topic.clone(), to.clone());
        self.write(move |tables| accept::adopt(tables, &from, &topic, &to)).await
    }

    async fn paused_until(&self, set: &CredentialSet) -> Result<Option<Timestamp>, StoreError> {
        let set = set.to_string();
        self.readers
            .read(move |connection| {
                depth::paused_until(connection, &set).map_err(|error| store_error(&error))
            })
            .await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.write(move |tables| sweep::sweep(tables, sweep)).await
    }

    async fn depth(&self) -> Result<Depth, StoreError> {
        self.readers
            .read(|connection| depth::depth(connection).map_err(|error| store_error(&error)))
            .await
    }

    async fn check(&self, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tables| {
            tables
                .connection
                .prepare_cached("UPDATE state SET checked_at = ?1")?
                .execute([now.as_ms()])
                .map(drop)
        })
        .await
    }
}
