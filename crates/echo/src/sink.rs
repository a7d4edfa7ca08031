//! Where rows go.

use std::collections::BTreeMap;
use std::path::Path;

use crate::dump::Writing;
use crate::mariadb::MariaDb;
use crate::source::is_database;
use crate::{EchoError, EchoRow};

/// A wiki's subscriptions, to be written.
#[derive(Debug)]
pub struct Sink {
    kind: Kind,
    providers: BTreeMap<String, u64>,
    topics: BTreeMap<String, u64>,
}

#[derive(Debug)]
enum Kind {
    MariaDb(Box<MariaDb>),
    Dump(Box<Writing>),
}

impl Sink {
    /// Opens `mariadb://…`, or a folder for files that are not there yet; the tables' names begin with `prefix`.
    pub async fn open(to: &str, password: Option<&str>, prefix: &str) -> Result<Self, EchoError> {
        let kind = if is_database(to) {
            Kind::MariaDb(Box::new(MariaDb::open(to, password, prefix).await?))
        } else {
            Kind::Dump(Box::new(Writing::create(Path::new(to), prefix)?))
        };
        Ok(Self { kind, providers: BTreeMap::new(), topics: BTreeMap::new() })
    }

    /// Writes some rows, all of them or none.
    pub async fn write(&mut self, rows: &[EchoRow]) -> Result<(), EchoError> {
        let database = match &mut self.kind {
            Kind::Dump(dump) => {
                for row in rows {
                    dump.write(row)?;
                }
                return Ok(());
            }
            Kind::MariaDb(database) => database,
        };
        database.begin().await?;
        for row in rows {
            let provider = row.provider.clone().unwrap_or_default();
            let provider = match self.providers.get(&provider) {
                Some(number) => *number,
                None => {
                    let number = database.provider(&provider).await?;
                    *self.providers.entry(provider).or_insert(number)
                }
            };
            let topic = match &row.topic {
                None => None,
                Some(topic) => Some(match self.topics.get(topic) {
                    Some(number) => *number,
                    None => {
                        let number = database.topic(topic).await?;
                        *self.topics.entry(topic.clone()).or_insert(number)
                    }
                }),
            };
            database.write(row, (provider, topic)).await?;
        }
        database.commit().await
    }

    /// Everything is there.
    pub async fn finish(self) -> Result<(), EchoError> {
        match self.kind {
            Kind::MariaDb(database) => database.close().await,
            Kind::Dump(dump) => dump.finish(),
        }
    }
}
