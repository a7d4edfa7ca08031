//! The trait, statement by statement.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use reveille_model::{Duration, Namespace, SessionKey, Timestamp, Ttl};
use reveille_store::{Condition, Entry, Etag, Refused, Sessions, StoreError, Usage, Write};
use scylla::client::session::Session;
use scylla::policies::timestamp_generator::{MonotonicTimestampGenerator, TimestampGenerator};
use scylla::response::query_result::QueryResult;
use scylla::statement::prepared::PreparedStatement;

use crate::CassandraError;
use crate::connect::connect;
use crate::deletes::Looking;
use crate::error::{odd, refused, unavailable};
use crate::settings::CassandraSettings;
use crate::statements::Statements;

/// A key that nobody has, to ask for.
const NOBODY: &str = "reveille:ready";

/// The session store on Cassandra.
#[derive(Debug)]
pub struct CassandraSessions {
    pub(crate) session: Session,
    pub(crate) statements: Statements,
    pub(crate) settings: CassandraSettings,
    pub(crate) looking: Looking,
    timestamps: Arc<MonotonicTimestampGenerator>,
}

impl CassandraSessions {
    /// Connects and prepares every statement.
    pub async fn open(settings: CassandraSettings) -> Result<Self, CassandraError> {
        let timestamps = Arc::new(MonotonicTimestampGenerator::new());
        let session =
            connect(&settings, Arc::<MonotonicTimestampGenerator>::clone(&timestamps)).await?;
        let statements = Statements::prepare(&session, &settings).await?;
        Ok(Self { session, statements, settings, looking: Looking::default(), timestamps })
    }

    /// Now, in microseconds, and later than anything written by this process before.
    pub(crate) fn timestamp(&self) -> i64 {
        self.timestamps.next_timestamp()
    }

    async fn read(
        &self,
        statement: &PreparedStatement,
        key: &SessionKey,
        now: Timestamp,
    ) -> Result<Option<Entry>, StoreError> {
        let answer = self.session.execute_unpaged(statement, (key.expose(),)).await;
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

    /// The value that is there, if the condition holds of it.
    async fn admitted(
        &self,
        key: &SessionKey,
        condition: &Condition,
        now: Timestamp,
    ) -> Result<Bytes, Refused> {
        let found = self.read(&self.statements.get_serial, key, now).await?;
        let value = found.map(|entry| entry.value);
        match value {
            Some(value) if condition.holds(Some(&value)) => Ok(value),
            _ => Err(Refused::Condition),
        }
    }

    /// Puts `value` in the place of `before`, unless that has changed.
    async fn replace(
        &self,
        key: &SessionKey,
        (before, value): (&Bytes, &Bytes),
        ttl: Ttl,
    ) -> Result<(), Refused> {
        let ttl = ttl_s(ttl);
        let values = ((ttl, value, key.expose(), before), (key.expose(), value, ttl));
        let answer = self.session.batch(&self.statements.replace, values).await;
        applied(answer.map_err(|error| refused(&error))?)
    }

    async fn add(&self, key: &SessionKey, value: &Bytes, ttl: Ttl) -> Result<(), Refused> {
        let values = (key.expose(), value, ttl_s(ttl));
        let answer = self.session.execute_unpaged(&self.statements.add, values).await;
        applied(answer.map_err(|error| refused(&error))?)
    }
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

/// In Cassandra's words; zero has no end.
fn ttl_s(ttl: Ttl) -> i32 {
    match ttl {
        Ttl::Unlimited => 0,
        Ttl::Seconds(seconds) => i32::try_from(seconds).unwrap_or(i32::MAX),
    }
}

#[async_trait]
impl Sessions for CassandraSessions {
    async fn get(&self, key: &SessionKey, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.read(&self.statements.get, key, now).await
    }

    async fn set(&self, write: Write, now: Timestamp) -> Result<(), Refused> {
        let Write { key, value, ttl, condition, .. } = write;
        match condition {
            Condition::None => {
                let values = (key.expose(), &value, ttl_s(ttl));
                let done = self.session.execute_unpaged(&self.statements.set, values).await;
                done.map(drop).map_err(|error| refused(&error))
            }
            Condition::Absent => self.add(&key, &value, ttl).await,
            Condition::Present | Condition::Match(_) => {
                let before = self.admitted(&key, &condition, now).await?;
                self.replace(&key, (&before, &value), ttl).await
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
            Condition::None => self.delete_each(key, now).await,
            // What is not there cannot be deleted.
            Condition::Absent => match self.read(&self.statements.get_serial, key, now).await? {
                None => Ok(()),
                Some(_) => Err(Refused::Condition),
            },
            Condition::Present | Condition::Match(_) => {
                let before = self.admitted(key, &condition, now).await?;
                let values = (key.expose(), &before);
                let answer = self.session.execute_unpaged(&self.statements.remove, values).await;
                applied(answer.map_err(|error| refused(&error))?)
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
        self.replace(key, (&before, &before), ttl).await?;
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
