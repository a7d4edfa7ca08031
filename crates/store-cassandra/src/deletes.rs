//! Deletions. Where another data centre has no quorum they are written down, and done again until it has.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt as _};
use metrics::gauge;
use reveille_model::{Duration, SessionKey, Timestamp};
use reveille_store::{Refused, StoreError};
use scylla::errors::ExecutionError;

use crate::error::{odd, unavailable};
use crate::settings::DeleteAnswer;
use crate::store::CassandraSessions;

/// Deletions that could not be done when all were last tried.
const WAITING: &str = "reveille_sessions_deletes_waiting";
/// Over how many partitions they are spread.
const BUCKETS: usize = 8;
/// How many of a partition are done in one step.
const STEP_MAX: usize = 100;
/// How many are done at once.
const AT_ONCE: usize = 16;
/// After so many failures the rest of a partition is left for the next look, which goes on behind them: others may be done meanwhile.
const FAILURES_MAX: u32 = 16;
/// Every so many looks all of a partition is read.
const WHOLE_EVERY: u32 = 20;
/// How long they are remembered, in seconds: Cassandra's `gc_grace_seconds`. A data centre that was away for longer has to be made anew.
const REMEMBERED_S: i32 = 864_000;
/// How often it is looked for those that other processes have written down.
const LOOK_INTERVAL: Duration = Duration::from_s(30);
/// How often those that are known are done again.
const RETRY_INTERVAL: Duration = Duration::from_s(5);

/// When and where to look next.
#[derive(Debug, Default)]
pub(crate) struct Looking(Mutex<Next>);

#[derive(Debug, Default)]
struct Next {
    at: Option<Timestamp>,
    /// Up to where each partition was tried, so that what was deleted from it is not read over and over.
    after: [i64; BUCKETS],
    /// How many of each could not be done since it was last begun with.
    failed: [u32; BUCKETS],
    /// The same, of the time before.
    failed_before: [u32; BUCKETS],
    rounds: u32,
}

impl Looking {
    fn next(&self) -> MutexGuard<'_, Next> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, at: Timestamp) {
        self.next().at = Some(at);
    }

    /// From where on each partition is read, if it is time. Now and then from its beginning: clocks differ.
    fn due(&self, now: Timestamp) -> Option<[i64; BUCKETS]> {
        let mut next = self.next();
        if next.at.is_some_and(|at| at > now) {
            return None;
        }
        next.at = Some(now.plus(LOOK_INTERVAL));
        if next.rounds.is_multiple_of(WHOLE_EVERY) {
            next.after = [i64::MIN; BUCKETS];
            next.failed = [0; BUCKETS];
        }
        next.rounds = next.rounds.wrapping_add(1);
        Some(next.after)
    }

    /// A partition was tried up to a moment, and some of it could not be done. Where that is its end, it is begun with again if anything is left.
    fn tried(&self, bucket: usize, (until, failed): (i64, u32), part: Part) {
        let mut next = self.next();
        let Next { after, failed: now, failed_before: before, .. } = &mut *next;
        let all = (after.get_mut(bucket), now.get_mut(bucket), before.get_mut(bucket));
        let (Some(after), Some(now), Some(before)) = all else { return };
        *after = until;
        *now += failed;
        if part == Part::Last {
            if *now > 0 {
                *after = i64::MIN;
            }
            *before = std::mem::take(now);
        }
    }

    /// How many could not be done when all were last tried, or since.
    fn waiting(&self) -> u32 {
        let next = self.next();
        next.failed.iter().zip(next.failed_before).map(|(now, before)| before.max(*now)).sum()
    }
}

/// What of a partition was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// There is more behind it.
    Some,
    /// There is not.
    Last,
}

/// A deletion that was written down.
struct Noted {
    bucket: i32,
    deleted_at: i64,
    key: String,
}

impl CassandraSessions {
    /// Deletes what was written before a moment, in microseconds: everywhere, or here and everywhere later.
    pub(crate) async fn delete_each(
        &self,
        key: &SessionKey,
        deleted_at: i64,
        now: Timestamp,
    ) -> Result<(), Refused> {
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
        self.looking.at(now.plus(RETRY_INTERVAL));
        match self.settings.delete_answer {
            DeleteAnswer::LocalQuorum => Ok(()),
            DeleteAnswer::EachQuorum => Err(Refused::Store(unavailable(&error))),
        }
    }

    /// Does again some of what was written down. Returns how many of them are done.
    pub(crate) async fn delete_again(&self, now: Timestamp) -> Result<usize, StoreError> {
        let Some(from) = self.looking.due(now) else { return Ok(0) };
        let (mut done, mut has_more) = (0, false);
        for (bucket, after) in from.into_iter().enumerate() {
            let noted = self.noted(bucket, after).await?;
            let moments: Vec<i64> = noted.iter().map(|noted| noted.deleted_at).collect();
            let (mut tried, mut failed) = (0, 0);
            let mut doing = stream::iter(noted).map(|noted| self.again(noted)).buffered(AT_ONCE);
            while failed < FAILURES_MAX
                && let Some(again) = doing.next().await
            {
                tried += 1;
                match again {
                    Ok(()) => done += 1,
                    // One key's nodes may be down and another's not.
                    Err(_) => failed += 1,
                }
            }
            let is_last = tried == moments.len() && moments.len() < STEP_MAX;
            let until = tried.checked_sub(1).and_then(|last| moments.get(last));
            let part = if is_last { Part::Last } else { Part::Some };
            self.looking.tried(bucket, (until.copied().unwrap_or(after), failed), part);
            has_more |= !is_last && failed == 0;
        }
        let waiting = self.looking.waiting();
        gauge!(WAITING).set(waiting);
        if has_more {
            self.looking.at(now);
        } else if done > 0 || waiting > 0 {
            self.looking.at(now.plus(RETRY_INTERVAL));
        }
        if waiting > 0 {
            tracing::warn!(waiting, "deletions wait for another data centre, at least so many");
        }
        Ok(done)
    }

    async fn again(&self, noted: Noted) -> Result<(), ExecutionError> {
        let mut everywhere = self.statements.delete.clone();
        everywhere.set_timestamp(Some(noted.deleted_at));
        self.session.execute_unpaged(&everywhere, (&noted.key,)).await?;
        let forget = (&self.settings.table, noted.bucket, noted.deleted_at, &noted.key);
        self.session.execute_unpaged(&self.statements.forget_delete, forget).await.map(drop)
    }

    async fn noted(&self, bucket: usize, after: i64) -> Result<Vec<Noted>, StoreError> {
        let bucket = i32::try_from(bucket).unwrap_or(0);
        let most = i32::try_from(STEP_MAX).unwrap_or(i32::MAX);
        let asked = (&self.settings.table, bucket, after, most);
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
    i32::try_from(deleted_at.rem_euclid(i64::try_from(BUCKETS).unwrap_or(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use reveille_model::Timestamp;

    use super::{BUCKETS, Looking, Part};

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    #[test]
    fn what_fails_keeps_nobody_behind_it_waiting_and_is_tried_again() {
        let looking = Looking::default();
        let from = || {
            looking.at(NOW);
            looking.due(NOW).unwrap()[1]
        };
        assert_eq!(from(), i64::MIN);
        looking.tried(1, (16, 16), Part::Some);
        assert_eq!((from(), looking.waiting()), (16, 16), "the next look goes on behind them");
        looking.tried(1, (50, 2), Part::Last);
        assert_eq!((from(), looking.waiting()), (i64::MIN, 18), "and begins anew at the end");
        looking.tried(1, (16, 0), Part::Some);
        assert_eq!(looking.waiting(), 18, "not all were tried again");
        looking.tried(1, (50, 0), Part::Last);
        assert_eq!((from(), looking.waiting()), (50, 0));
        looking.tried(BUCKETS, (1, 1), Part::Last);
    }
}
