//! Which Cassandra, and how it is asked.

use std::path::PathBuf;

use reveille_model::Duration;

/// When a DELETE is answered with success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteAnswer {
    /// A quorum in every data centre has it.
    EachQuorum,
    /// A quorum in this data centre has it, and that others have to follow is written down.
    LocalQuorum,
}

/// Files of PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The authority that has signed the nodes' certificates. They are verified, their addresses with them.
    pub ca_file: PathBuf,
    /// Our certificate and its key, where nodes ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How many copies each data centre is to have.
pub type Replication = Vec<(String, u32)>;

/// Which Cassandra, and how it is asked.
#[derive(Clone)]
pub struct CassandraSettings {
    /// Nodes to begin with: `host:port`.
    pub hosts: Vec<String>,
    /// The keyspace.
    pub keyspace: String,
    /// The table: a text key and a blob.
    pub table: String,
    /// The data centre we are in; without one any node will do.
    pub dc: Option<String>,
    /// Name and password.
    pub login: Option<(String, String)>,
    /// Whether and how we speak TLS.
    pub tls: Option<Tls>,
    /// When a DELETE is answered with success.
    pub delete_answer: DeleteAnswer,
    /// Longest time one query may take, its second try among it.
    pub query_timeout: Duration,
    /// Longest time a connection may take.
    pub connect_timeout: Duration,
    /// After this long another node is asked too.
    pub speculative_after: Option<Duration>,
}

impl std::fmt::Debug for CassandraSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CassandraSettings")
            .field("hosts", &self.hosts)
            .field("keyspace", &self.keyspace)
            .field("table", &self.table)
            .field("dc", &self.dc)
            .finish_non_exhaustive()
    }
}
