//! What can go wrong, without anything of a key or value in its words.

use reveille_store::{Refused, StoreError};
use scylla::errors::{ExecutionError, NewSessionError, PrepareError, RequestAttemptError};

/// Why Cassandra cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CassandraError {
    /// A file of PEM cannot be used.
    #[error("{0}")]
    Tls(String),
    /// Nodes are reached and say nothing.
    #[error("no node of Cassandra has answered within {0} s")]
    TimedOut(u64),
    /// No node can be reached, or none lets us in.
    #[error("no node of Cassandra can be used: {0}")]
    Connect(#[from] NewSessionError),
    /// The keyspace or a table is missing, or another than we know.
    #[error("the table is not as it should be ({0}); `reveille migrate` makes what is missing")]
    Prepare(#[from] PrepareError),
    /// The schema could not be made.
    #[error("the schema cannot be made: {0}")]
    Schema(String),
}

/// The kind of an error. What the server writes beside it is left out: nobody knows what it may repeat.
pub(crate) fn unavailable(error: &ExecutionError) -> StoreError {
    let what = match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(kind, _)) => kind.to_string(),
        ExecutionError::LastAttemptError(RequestAttemptError::BrokenConnectionError(_)) => {
            "the connection to the node broke".to_owned()
        }
        ExecutionError::LastAttemptError(_) => "the node's answer cannot be used".to_owned(),
        ExecutionError::RequestTimeout(_) => "no node answered in time".to_owned(),
        ExecutionError::ConnectionPoolError(_) => "no node can be reached".to_owned(),
        ExecutionError::EmptyPlan => {
            "there is no node of the data centre that is set (dc=…)".to_owned()
        }
        _ => "the query cannot be asked".to_owned(),
    };
    StoreError::Unavailable(what)
}

pub(crate) fn refused(error: &ExecutionError) -> Refused {
    Refused::Store(unavailable(error))
}

/// An answer that is not of the kind that was asked for.
pub(crate) fn odd() -> StoreError {
    StoreError::Corrupt("Cassandra's answer is not of the kind that was asked for".to_owned())
}
