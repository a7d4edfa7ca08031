//! The trait, statement by statement.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use reveille_model::{Duration, Namespace, SessionKey, Timestamp, Ttl};
use reveille_store::{Condition, Entry, Etag, Refused, Sessions, StoreError, Usage, Write};
use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError, WriteType};
use scylla::policies::timestamp_generator::{MonotonicTimestampGenerator, TimestampGenerator};
use scylla::response::query_result::QueryResult;

use crate::CassandraError;
use crate::connect::connect;
use crate::deletes::Looking;
use crate::error::{odd, refused, unavailable};
use crate::second::Patience;
use crate::settings::CassandraSettings;
use crate::statements::Statements;

/// A key that nobody has, to ask for.
const NOBODY: &str = "reveille:ready";

/// When the last of what Cassandra can write down ends, in seconds since 1970 (CASSANDRA-14092), less a minute: its clock is another one.
const ENDS_S_MAX: i64 = 2_147_483_646 - 60;

/// The session store on Cassandra.
#[derive(Debug)]
pub struct CassandraSessions {
    pub(crate) session: Session,
    pub(crate) statements: Statements,
    pub(crate) settings: CassandraSettings,
    pub(crate) looking: Looking,
    patience: Patience,
    timestamps: Arc<MonotonicTimestampGenerator>,
}

impl CassandraSessions {
    /// Connects and prepares every statement.
    pub async fn open(settings: CassandraSettings) -> Result<Self, CassandraError> {
        let timestamps = Arc::new(MonotonicTimestampGenerator::new());
        let session =
            connect(&settings, Arc::<MonotonicTimestampGenerator>::clone(&timestamps)).await?;
        let statements = Statements::prepare(&session, &settings).await?;
        let (looking, patience) = (Looking::default(), Patience::new(&settings));
        Ok(Self { session, statements, settings, looking, patience, timestamps })
    }

    /// Now, in microseconds, and later than anything written by this process before.
    pub(crate) fn timestamp(&self) -> i64 {
        self.timestamps.next_timestamp()
    }

    /// What there is once every transaction before is settled.
    async fn settled(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let get = &self.statements.get_serial;
        entry(self.session.execute_unpaged(get, (key.expose(),)).await, now)
    }

    /// The value that is there, if the condition holds of it.
    async fn admitted(
        &self,
        key: &SessionKey,
        condition: &Condition,
        now: Timestamp,
    ) -> Result<Bytes, Refused> {
        let found = self.settled(key, now).await?;
        let value = found.map(|entry| entry.value);
        match value {
            Some(value) if condition.holds(Some(&value)) => Ok(value),
            _ => Err(Refused::Condition),
        }
    }

    async fn once(
        &self,
        key: &SessionKey,
        transaction: Transaction<'_>,
    ) -> Result<QueryResult, ExecutionError> {
        let (session, statements, key) = (&self.session, &self.statements, key.expose());
        match transaction {
            Transaction::Add { value, ttl_s } => {
                session.execute_unpaged(&statements.add, (key, value, ttl_s)).await
            }
            Transaction::Replace { before, value, ttl_s } => {
                let values = ((ttl_s, value, key, before), (key, value, ttl_s));
                session.batch(&statements.replace, values).await
            }
            Transaction::Remove { before } => {
                session.execute_unpaged(&statements.remove, (key, before)).await
            }
        }
    }

    /// Carries out a transaction. One that was crowded out by others may have happened or not: a serial
    /// read ends whatever is under way (Cassandra 4.0 and later), and where it finds nothing changed, it has not happened and cannot any more.
    /// Where it finds something else, nobody knows whose doing that was.
    async fn transact(
        &self,
        key: &SessionKey,
        transaction: Transaction<'_>,
    ) -> Result<(), Refused> {
        let error = match self.once(key, transaction).await {
            Ok(answer) => return applied(answer),
            Err(error) => error,
        };
        if !is_crowded_out(&error) {
            return Err(refused(&error));
        }
        let found = self.settled(key, Timestamp::EPOCH).await?;
        if found.as_ref().map(|entry| &entry.value) != transaction.before() {
            return Err(refused(&error));
        }
        applied(self.once(key, transaction).await.map_err(|error| refused(&error))?)
    }
}

/// What is done at once if an entry is as it was.
#[derive(Clone, Copy)]
enum Transaction<'a> {
    /// Where there was none.
    Add {
        value: &'a Bytes,
        ttl_s: i32,
    },
    Replace {
        before: &'a Bytes,
        value: &'a Bytes,
        ttl_s: i32,
    },
    Remove {
        before: &'a Bytes,
    },
}

impl<'a> Transaction<'a> {
    fn before(self) -> Option<&'a Bytes> {
        match self {
            Self::Add { .. } => None,
            Self::Replace { before, .. } | Self::Remove { before } => Some(before),
        }
    }
}

/// The entry of an answer.
fn entry(
    answer: Result<QueryResult, ExecutionError>,
    now: Timestamp,
) -> Result<Option<Entry>, StoreError> {
    let rows = answer.map_err(|error| unavailable(&error))?.into_rows_result();
    let row = rows
        .map_err(|_| odd())?
        .maybe_first_row::<(Option<Bytes>, Option<i32>)>()
        .map_err(|_| odd())?;
    // A row without a value is none: its marker has outlived it.
    let Some((Some(value), ttl)) = row else { return Ok(None) };
    let left = ttl.and_then(|seconds| u32::try_from(seconds).ok());
    let expires_at = left.map(|seconds| now.plus(Duration::from_s(seconds)));
    Ok(Some(Entry { value, expires_at }))
}

/// Whether others came between on all tries the coordinator had time for.
fn is_crowded_out(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(
            DbError::WriteTimeout { write_type: WriteType::Cas, .. },
            _,
        ))
    )
}

/// Whether a transaction was applied: the first column of its answer.
fn applied(answer: QueryResult) -> Result<(), Refused> {
    let rows = answer.into_rows_result().map_err(|_| odd())?;
    let mut first = rows.rows::<scylla::value::Row>().map_err(|_| odd())?;
    let row = first.next().and_then(Result::ok).ok_or_else(odd)?;
    match row.columns.first() {
        Some(Some(scylla::value::CqlValue::Boolean(true))) => Ok(()),
        Some(Some(scylla::value::CqlValue::Boolean(false))) => Err(Refused::Condition),
        _ => Err(odd().into()),
    }
}

/// In Cassandra's words; zero has no end. What would end later than it can write down (CASSANDRA-14092) ends then.
fn seconds(ttl: Ttl, now: Timestamp) -> i32 {
    match ttl {
        Ttl::Unlimited => 0,
        Ttl::Seconds(seconds) => {
            let longest = ENDS_S_MAX.saturating_sub(now.as_s()).max(1);
            i32::try_from(i64::from(seconds).min(longest)).unwrap_or(i32::MAX)
        }
    }
}

#[async_trait]
impl Sessions for CassandraSessions {
    async fn get(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        let get = &self.statements.get;
        entry(self.patience.ask(&self.session, get, (key.expose(),)).await, now)
    }

    async fn set(&self, write: Write, now: Timestamp) -> Result<(), Refused> {
        let Write { key, value, ttl, condition, .. } = write;
        let ttl_s = seconds(ttl, now);
        match condition {
            Condition::None => {
                let values = (key.expose(), &value, ttl_s);
                let set = &self.statements.set;
                let done = self.patience.ask(&self.session, set, values).await;
                done.map(drop).map_err(|error| refused(&error))
            }
            Condition::Absent => {
                self.transact(&key, Transaction::Add { value: &value, ttl_s }).await
            }
            Condition::Present | Condition::Match(_) => {
                let before = self.admitted(&key, &condition, now).await?;
                let replace = Transaction::Replace { before: &before, value: &value, ttl_s };
                self.transact(&key, replace).await
            }
        }
    }

    async fn delete(
        &self,
        key: &SessionKey,
        condition: Condition,
        now: Timestamp,
    ) -> Result<(), Refused> {
        match condition {
            // Whatever is written later than this moment stays, however late it is done again.
            Condition::None => self.delete_each(key, self.timestamp(), now).await,
            // What is not there cannot be deleted.
            Condition::Absent => match self.settled(key, now).await? {
                None => Ok(()),
                Some(_) => Err(Refused::Condition),
            },
            Condition::Present | Condition::Match(_) => {
                let before = self.admitted(key, &condition, now).await?;
                let deleted_at = self.timestamp();
                self.transact(key, Transaction::Remove { before: &before }).await?;
                // It is gone here. Now everywhere else.
                self.delete_each(key, deleted_at, now).await
            }
        }
    }

    async fn touch(
        &self,
        key: &SessionKey,
        ttl: Ttl,
        condition: Condition,
        now: Timestamp,
    ) -> Result<Etag, Refused> {
        let before = self.admitted(key, &condition, now).await?;
        let again =
            Transaction::Replace { before: &before, value: &before, ttl_s: seconds(ttl, now) };
        self.transact(key, again).await?;
        Ok(Etag::of(&before))
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let nobody = SessionKey::parse(NOBODY).map_err(|_| odd())?;
        self.get(&nobody, Timestamp::EPOCH).await.map(drop)
    }

    async fn upkeep(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.delete_again(now).await
    }

    async fn usage(&self) -> Result<Option<Vec<(Namespace, Usage)>>, StoreError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::{ENDS_S_MAX, Timestamp, Ttl, seconds};

    #[test]
    fn what_would_end_later_than_can_be_written_ends_then() {
        let now = Timestamp::from_ms(1_795_254_000_000);
        assert_eq!(seconds(Ttl::Unlimited, now), 0);
        assert_eq!(seconds(Ttl::Seconds(86_400), now), 86_400);
        let longest = seconds(Ttl::Seconds(630_720_000), now);
        assert_eq!(now.as_s() + i64::from(longest), ENDS_S_MAX);
    }
}
