//! The schema: Kask's table, and one of ours beside it.

use std::sync::Arc;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::policies::timestamp_generator::MonotonicTimestampGenerator;
use scylla::statement::unprepared::Statement;

use crate::CassandraError;
use crate::connect::connect;
use crate::settings::{CassandraSettings, Replication};

/// How long a change of the schema may take: all nodes have to agree on it.
const CHANGE_TIME_MAX: Duration = Duration::from_mins(1);

/// Deletions that other data centres have not confirmed.
pub(crate) const DELETES: &str = "reveille_deletes";

/// Makes what is missing. The keyspace is made only where `replication` says how; one that is there stays as it is.
pub async fn migrate(
    settings: &CassandraSettings,
    replication: &Replication,
) -> Result<(), CassandraError> {
    let session = connect(settings, Arc::new(MonotonicTimestampGenerator::new())).await?;
    let CassandraSettings { keyspace, table, .. } = settings;
    if !replication.is_empty() {
        let copies = replication
            .iter()
            .map(|(dc, copies)| format!(", '{}': {copies}", dc.replace('\'', "''")));
        let copies: String = copies.collect();
        let sql = format!(
            "CREATE KEYSPACE IF NOT EXISTS \"{keyspace}\" WITH replication = {{'class': 'NetworkTopologyStrategy'{copies}}}"
        );
        run(&session, sql).await?;
    }
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS \"{keyspace}\".\"{table}\" (key text PRIMARY KEY, value blob)"
    );
    run(&session, sql).await.map_err(|error| match error {
        CassandraError::Schema(what) if replication.is_empty() => CassandraError::Schema(format!(
            "{what}; where the keyspace is missing, set how many copies each data centre is to have, as in [sessions.cassandra.replication] dc1 = 3"
        )),
        other => other,
    })?;
    // A row that comes back after its deletion was forgotten is done again, and does no harm: deletions may be forgotten early.
    let sql = format!(
        concat!(
            "CREATE TABLE IF NOT EXISTS \"{}\".\"{}\" (table_name text, bucket int, deleted_at bigint, key text,",
            " PRIMARY KEY ((table_name, bucket), deleted_at, key)) WITH gc_grace_seconds = 3600"
        ),
        keyspace, DELETES
    );
    run(&session, sql).await
}

async fn run(session: &Session, sql: String) -> Result<(), CassandraError> {
    let mut statement = Statement::new(sql);
    statement.set_request_timeout(Some(CHANGE_TIME_MAX));
    let done = session.query_unpaged(statement, ()).await;
    done.map(drop).map_err(|error| CassandraError::Schema(error.to_string()))
}
