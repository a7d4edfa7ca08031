//! The trait, handed on to the steps.

use async_trait::async_trait;
use reveille_model::{CredentialSet, Providers, Shuffle, Timestamp, Topic};
use reveille_store::{
    AcceptError, Acceptance, Accepted, Claim, Claimed, Depth, Expanded, Halt, Outbox, SettleBatch,
    SettleReport, StoreError, Sweep, Swept,
};

use super::{adopt, claim, depth, release, settle, sweep};
use crate::MariaDbStore;
use crate::codec::number;
use crate::error::Failed;
use crate::statement::query;

#[async_trait]
impl Outbox for MariaDbStore {
    async fn accept(&self, acceptance: Acceptance) -> Result<Accepted, AcceptError> {
        self.intake.accept(&self.engine, acceptance).await
    }

    async fn close(&self, until: Timestamp) -> Result<(), StoreError> {
        self.engine.write(&until, |tables, until| Box::pin(release::close(tables, *until))).await
    }

    async fn expand(&self, until: Timestamp, shuffle: Shuffle) -> Result<Expanded, StoreError> {
        self.engine.expand(until, shuffle).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, StoreError> {
        let claimed =
            self.engine.try_write(&claim, |tables, claim| Box::pin(claim::claim(tables, claim)));
        let claimed = claimed.await;
        if claimed.as_ref().is_err_and(|failed| !failed.is_refusal()) {
            self.engine.doubtful.note(&claim);
        }
        Ok(claimed?)
    }

    async fn settle(&self, batch: SettleBatch) -> Result<SettleReport, StoreError> {
        self.engine.write(&batch, |tables, batch| Box::pin(settle::settle(tables, batch))).await
    }

    async fn next_due(&self, set: &CredentialSet) -> Result<Option<Timestamp>, StoreError> {
        Ok(claim::next_due(&self.engine, set).await?)
    }

    async fn pause(&self, set: &CredentialSet, until: Timestamp) -> Result<(), StoreError> {
        let id = self.engine.ask(self.engine.sets.id(&self.engine.pool, set)).await?;
        let update = query("UPDATE credential_sets SET paused_until = ? WHERE id = ?");
        let done = self.engine.ask(update.bind(until.as_ms()).bind(id).execute(&self.engine.pool));
        Ok(done.await.map(drop)?)
    }

    async fn halt(&self, change: Halt) -> Result<Providers, StoreError> {
        // In one statement: another node may be told something at the same time.
        let update = match change {
            Halt::Pause(_) => "UPDATE state SET halted = halted | ?",
            Halt::Resume(_) => "UPDATE state SET halted = halted & ~?",
        };
        let (Halt::Pause(named) | Halt::Resume(named)) = change;
        self.engine.ask(query(update).bind(named.bits()).execute(&self.engine.pool)).await?;
        self.halted().await
    }

    async fn halted(&self) -> Result<Providers, StoreError> {
        let row = query("SELECT halted FROM state").fetch_one(&self.engine.pool);
        let bits = number(&self.engine.ask(row).await?, 0).map_err(Failed::from)?;
        Ok(Providers::from_bits(u8::try_from(bits).unwrap_or_default()))
    }

    async fn adopt(
        &self,
        from: &CredentialSet,
        topic: &Topic,
        to: &CredentialSet,
    ) -> Result<u64, StoreError> {
        let what = (from.clone(), topic.clone(), to.clone());
        self.engine.write(&what, |tables, what| Box::pin(adopt::adopt(tables, what))).await
    }

    async fn paused_until(&self, set: &CredentialSet) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.engine.ask(depth::paused_until(&self.engine.pool, set)).await?)
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.engine.write(&sweep, |tables, sweep| Box::pin(sweep::sweep(tables, *sweep))).await
    }

    async fn depth(&self) -> Result<Depth, StoreError> {
        Ok(self.engine.look(|pool| async move { depth::depth(&pool).await }).await?)
    }

    async fn check(&self, now: Timestamp) -> Result<(), StoreError> {
        self.engine.agree(now).await?;
        self.engine.write(&now, |tables, now| Box::pin(tables.note_check(*now))).await
    }
}
