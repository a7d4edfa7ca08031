//! Deletions. Where another data centre has no quorum they are written down, and done again until it has.

use std::sync::{Mutex, PoisonError};

use metrics::gauge;
use reveille_model::{Duration, SessionKey, Timestamp};
use reveille_store::{Refused, StoreError};
use scylla::errors::ExecutionError;

use crate::error::{odd, unavailable};
use crate::settings::DeleteAnswer;
use crate::store::CassandraSessions;

/// Deletions that other data centres have not confirmed, as far as this process has looked.
const WAITING: &str = "reveille_sessions_deletes_waiting";
/// Over how many partitions they are spread.
const BUCKETS: i32 = 8;
/// How many of a partition are done in one step.
const STEP_MAX: i32 = 100;
/// How long they are remembered, in seconds: Cassandra's `gc_grace_seconds`. A data centre that was away for longer has to be made anew.
const REMEMBERED_S: i32 = 864_000;
/// How often it is looked for those that other processes have written down.
const LOOK_INTERVAL: Duration = Duration::from_s(30);
/// How often those that are known are done again.
const RETRY_INTERVAL: Duration = Duration::from_s(5);

/// When to look next.
#[derive(Debug, Default)]
pub(crate) struct Looking(Mutex<Option<Timestamp>>);

impl Looking {
    fn is_due(&self, now: Timestamp) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|at| at <= now)
    }

    fn next(&self, at: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }
}

/// A deletion that was written down.
struct Noted {
    bucket: i32,
    deleted_at: i64,
    key: String,
}

impl CassandraSessions {
    /// Deletes everywhere, or here and everywhere later.
    pub(crate) async fn delete_each(
        &self,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<(), Refused> {
        // Whatever is written later than this moment stays, however late it is done again.
        let deleted_at = self.timestamp();
        let half = self.settings.query_timeout.to_std() / 2;
        let mut everywhere = self.statements.delete.clone();
        everywhere.set_timestamp(Some(deleted_at));
        everywhere.set_request_timeout(Some(half));
        let Err(error) = self.session.execute_unpaged(&everywhere, (key.expose(),)).await else {
            return Ok(());
        };
        let mut here = self.statements.delete_here.clone();
        here.set_timestamp(Some(deleted_at));
        here.set_request_timeout(Some(half));
        let bucket = bucket(deleted_at);
        let mut note = self.statements.note_delete.clone();
        note.set_request_timeout(Some(half));
        let noted = (&self.settings.table, bucket, deleted_at, key.expose(), REMEMBERED_S);
        let (here, noted) = tokio::join!(
            self.session.execute_unpaged(&here, (key.expose(),)),
            self.session.execute_unpaged(&note, noted),
        );
        for done in [here, noted] {
            done.map_err(|error| Refused::Store(unavailable(&error)))?;
        }
        self.looking.next(now.plus(RETRY_INTERVAL));
        match self.settings.delete_answer {
            DeleteAnswer::LocalQuorum => Ok(()),
            DeleteAnswer::EachQuorum => Err(Refused::Store(unavailable(&error))),
        }
    }

    /// Does again some of what was written down. Returns how many of them are done.
    pub(crate) async fn delete_again(&self, now: Timestamp) -> Result<usize, StoreError> {
        if !self.looking.is_due(now) {
            return Ok(0);
        }
        self.looking.next(now.plus(LOOK_INTERVAL));
        let (mut done, mut waiting, mut seen) = (0, 0_u32, 0);
        for bucket in 0..BUCKETS {
            let mut is_down = false;
            for noted in self.noted(bucket).await? {
                seen += 1;
                // Where one cannot be done, the others need not be tried now.
                if is_down || self.again(&noted).await.is_err() {
                    is_down = true;
                    waiting += 1;
                } else {
                    done += 1;
                }
            }
        }
        gauge!(WAITING).set(waiting);
        if seen > 0 {
            self.looking.next(now.plus(RETRY_INTERVAL));
        }
        if waiting > 0 {
            tracing::warn!(waiting, "deletions wait for another data centre");
        }
        Ok(done)
    }

    async fn again(&self, noted: &Noted) -> Result<(), ExecutionError> {
        let mut everywhere = self.statements.delete.clone();
        everywhere.set_timestamp(Some(noted.deleted_at));
        self.session.execute_unpaged(&everywhere, (&noted.key,)).await?;
        let forget = (&self.settings.table, noted.bucket, noted.deleted_at, &noted.key);
        self.session.execute_unpaged(&self.statements.forget_delete, forget).await.map(drop)
    }

    async fn noted(&self, bucket: i32) -> Result<Vec<Noted>, StoreError> {
        let asked = (&self.settings.table, bucket, STEP_MAX);
        let answer = self.session.execute_unpaged(&self.statements.noted_deletes, asked).await;
        let rows = answer.map_err(|error| unavailable(&error))?.into_rows_result();
        let rows = rows.map_err(|_| odd())?;
        let noted = rows.rows::<(i64, String)>().map_err(|_| odd())?.map(|row| {
            row.map(|(deleted_at, key)| Noted { bucket, deleted_at, key }).map_err(|_| odd())
        });
        noted.collect()
    }
}

fn bucket(deleted_at: i64) -> i32 {
    i32::try_from(deleted_at.rem_euclid(i64::from(BUCKETS))).unwrap_or(0)
}
