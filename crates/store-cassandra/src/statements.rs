//! Every statement, prepared, and its consistency.
//!
//! `get`, `set` and `delete` are the reference's. The others are lightweight transactions at `LOCAL_SERIAL`, which are atomic in one data
//! centre among writers that all use them.

use scylla::client::session::Session;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};

use crate::CassandraError;
use crate::schema::DELETES;
use crate::settings::CassandraSettings;

pub(crate) struct Statements {
    /// To be asked with [`crate::second::Patience`], as `set` is.
    pub(crate) get: PreparedStatement,
    pub(crate) set: PreparedStatement,
    /// At `EACH_QUORUM`.
    pub(crate) delete: PreparedStatement,
    /// At `LOCAL_QUORUM`.
    pub(crate) delete_here: PreparedStatement,
    /// What was settled by the transactions before.
    pub(crate) get_serial: PreparedStatement,
    pub(crate) add: PreparedStatement,
    /// Replaces a value, if it is still there, with the time to live of all of the row: an UPDATE alone would leave the end of the row's
    /// marker as it was, and with it a row without a value.
    pub(crate) replace: Batch,
    pub(crate) remove: PreparedStatement,
    pub(crate) note_delete: PreparedStatement,
    pub(crate) noted_deletes: PreparedStatement,
    pub(crate) forget_delete: PreparedStatement,
}

impl std::fmt::Debug for Statements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statements").finish_non_exhaustive()
    }
}

impl Statements {
    pub(crate) async fn prepare(
        session: &Session,
        settings: &CassandraSettings,
    ) -> Result<Self, CassandraError> {
        let CassandraSettings { keyspace, table, .. } = settings;
        let table = format!("\"{keyspace}\".\"{table}\"");
        let deletes = format!("\"{keyspace}\".\"{DELETES}\"");
        let prepare = async |sql: String, consistency, is_idempotent: Twice| {
            let mut statement = session.prepare(sql).await?;
            statement.set_consistency(consistency);
            statement.set_is_idempotent(is_idempotent == Twice::Yes);
            // Columns cannot change under us: Kask's table has two for ever.
            statement.set_use_cached_result_metadata(true);
            Ok::<_, CassandraError>(statement)
        };
        // Those have a second question, and a time, of our own.
        let handle = session.get_default_execution_profile_handle().pointee_to_builder();
        let handle = handle.request_timeout(None).speculative_execution_policy(None).build();
        let handle = handle.into_handle();
        let often = |mut statement: PreparedStatement| {
            statement.set_execution_profile_handle(Some(handle.clone()));
            statement
        };
        let local = Consistency::LocalQuorum;
        let select = format!("SELECT value, TTL(value) AS ttl FROM {table} WHERE key = ?");
        let insert = format!("INSERT INTO {table} (key, value) VALUES (?, ?)");
        let delete = format!("DELETE FROM {table} WHERE key = ?");
        let update = format!("UPDATE {table} USING TTL ? SET value = ? WHERE key = ? IF value = ?");
        let mut replace = Batch::new(BatchType::Unlogged);
        replace.append_statement(prepare(update, local, Twice::No).await?);
        replace.append_statement(prepare(format!("{insert} USING TTL ?"), local, Twice::No).await?);
        replace.set_consistency(local);
        replace.set_serial_consistency(Some(SerialConsistency::LocalSerial));
        Ok(Self {
            get: often(prepare(select.clone(), local, Twice::Yes).await?),
            set: often(prepare(format!("{insert} USING TTL ?"), local, Twice::Yes).await?),
            delete: prepare(delete.clone(), Consistency::EachQuorum, Twice::Yes).await?,
            delete_here: prepare(delete.clone(), local, Twice::Yes).await?,
            get_serial: prepare(select, Consistency::LocalSerial, Twice::Yes).await?,
            add: prepare(format!("{insert} IF NOT EXISTS USING TTL ?"), local, Twice::No).await?,
            replace,
            remove: prepare(format!("{delete} IF value = ?"), local, Twice::No).await?,
            note_delete: prepare(
                format!(
                    "INSERT INTO {deletes} (table_name, bucket, deleted_at, key) VALUES (?, ?, ?, ?) USING TTL ?"
                ),
                local,
                Twice::Yes,
            )
            .await?,
            noted_deletes: prepare(
                format!("SELECT deleted_at, key FROM {deletes} WHERE table_name = ? AND bucket = ? AND deleted_at > ? LIMIT ?"),
                local,
                Twice::Yes,
            )
            .await?,
            forget_delete: prepare(
                format!(
                    "DELETE FROM {deletes} WHERE table_name = ? AND bucket = ? AND deleted_at = ? AND key = ?"
                ),
                local,
                Twice::Yes,
            )
            .await?,
        })
    }
}

/// Whether a statement may be carried out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twice {
    Yes,
    No,
}
