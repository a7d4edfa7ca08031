//! Transactions, and that they are tried again where somebody else was first.

use std::pin::Pin;
use std::time::Duration;

use reveille_store::StoreError;

use super::{Engine, Tables};
use crate::error::{Done, Failed};
use crate::statement::query;

/// The database's clock, in microseconds since 1970. Sessions are in UTC.
pub(crate) const NOW_US: &str = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)";

/// What is said where it took too long.
pub(crate) const NOT_IN_TIME: &str = "the database does not answer in time";

/// How often a transaction is tried, within the time it has.
const TRIES_MAX: u32 = 200;
/// The least pause between two tries. The others are up to so many times as long, twice as many with each try.
const PAUSE: Duration = Duration::from_millis(2);
const LONGER_MAX: u32 = 64;

/// A step of a transaction, on its way.
pub(crate) type Boxed<'t, T> = Pin<Box<dyn Future<Output = Done<T>> + Send + 't>>;

impl Engine {
    /// Carries out a command in a transaction of its own, and tries it again where nothing of it has happened for the sake of somebody else. Returns once
    /// it is on disk.
    pub(crate) async fn write<I: Sync + ?Sized, T: Send>(
        &self,
        input: &I,
        command: impl for<'t> Fn(&'t mut Tables<'_>, &'t I) -> Boxed<'t, T> + Send + Sync,
    ) -> Result<T, StoreError> {
        self.try_write(input, command).await.map_err(StoreError::from)
    }

    /// The same, with the failure as it is.
    pub(crate) async fn try_write<I: Sync + ?Sized, T: Send>(
        &self,
        input: &I,
        command: impl for<'t> Fn(&'t mut Tables<'_>, &'t I) -> Boxed<'t, T> + Send + Sync,
    ) -> Done<T> {
        let tried = async {
            let mut tries = 1;
            loop {
                match self.once(input, &command).await {
                    Err(failed) if failed.is_worth_another_try() && tries < TRIES_MAX => {
                        pause(self.node.slot(), tries).await;
                        tries += 1;
                    }
                    done => return done,
                }
            }
        };
        let in_time = tokio::time::timeout(self.transaction_timeout, tried).await;
        in_time.unwrap_or_else(|_| Err(StoreError::Unavailable(NOT_IN_TIME.to_owned()).into()))
    }

    /// Asks something outside of a transaction, for as long as one may take: a server that is gone without a word answers never.
    pub(crate) async fn ask<T, E>(
        &self,
        asking: impl Future<Output = Result<T, E>> + Send,
    ) -> Done<T>
    where
        Failed: From<E>,
    {
        let in_time = tokio::time::timeout(self.transaction_timeout, asking).await;
        let answer = in_time.map_err(|_| StoreError::Unavailable(NOT_IN_TIME.to_owned()))?;
        Ok(answer?)
    }

    async fn once<I: Sync + ?Sized, T: Send>(
        &self,
        input: &I,
        command: &(impl for<'t> Fn(&'t mut Tables<'_>, &'t I) -> Boxed<'t, T> + Send + Sync),
    ) -> Done<T> {
        let mut tables = Tables::begin(self).await?;
        match command(&mut tables, input).await {
            Ok(done) => tables.commit().await.map(|()| done),
            Err(failed) => {
                // Whatever comes of it, nothing of the transaction was committed.
                drop(tables.roll_back().await);
                Err(failed)
            }
        }
    }

    /// The database's clock, in microseconds.
    pub(crate) async fn now_us(&self) -> Done<i64> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {NOW_US}"));
        Ok(crate::codec::number(&query(sql).fetch_one(&self.pool).await?, 0)?)
    }

    /// Whether a moment of this machine's is ahead of the database's by more than is allowed. What is decided by such a moment is decided for all nodes.
    pub(crate) fn is_ahead(&self, now: reveille_model::Timestamp, database_us: i64) -> Done<()> {
        let Some(max) = self.clock_skew_max else { return Ok(()) };
        let ahead_ms = now.as_ms() - database_us / 1_000;
        if i64::try_from(max.as_millis()).is_ok_and(|max| ahead_ms <= max) {
            return Ok(());
        }
        let what = format!("this machine's clock is {ahead_ms} ms ahead of the database's");
        Err(StoreError::Unavailable(what).into())
    }

    /// Whether a moment of this machine's is near enough to the database's.
    pub(crate) async fn agree(&self, now: reveille_model::Timestamp) -> Result<(), StoreError> {
        let Some(max) = self.clock_skew_max else { return Ok(()) };
        let off_ms = now.as_ms() - self.now_us().await? / 1_000;
        if Duration::from_millis(off_ms.unsigned_abs()) <= max {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!(
            "this machine's clock is {off_ms} ms off the database's, and {} ms are allowed",
            max.as_millis()
        )))
    }
}

/// How many times as long as the least a pause is: another number for each node and try, so that two who were in each other's way are not so again.
fn longer(slot: i64, tries: u32) -> u32 {
    let mixed = slot.cast_unsigned().wrapping_mul(31).wrapping_add(tries.into());
    let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let most = 1_u64 << tries.min(LONGER_MAX.ilog2());
    1 + u32::try_from(mixed % most).unwrap_or_default()
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever was first is let go ahead; nothing is decided by this time"
)]
pub(super) async fn pause(slot: i64, tries: u32) {
    tokio::time::sleep(PAUSE * longer(slot, tries)).await;
}

impl From<Failed> for reveille_store::AcceptError {
    fn from(failed: Failed) -> Self {
        Self::Store(failed.into())
    }
}
