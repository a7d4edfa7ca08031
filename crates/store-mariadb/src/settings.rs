//! Which database, and within which bounds.

use std::path::PathBuf;
use std::time::Duration;

/// What a store is opened with.
#[derive(Clone)]
pub struct MariaDbSettings {
    /// `mariadb://USER@HOST[:PORT]/DATABASE`.
    pub url: String,
    /// A server that follows that one, at an address of the same kind. What may be a little old is asked there, and of the first where it does not answer.
    pub replica_url: Option<String>,
    /// The user's password, if it is not in the address.
    pub password: Option<String>,
    /// The keys the database is sealed with. Every node has the same.
    pub key_file: PathBuf,
    /// The authority the server's certificate is checked against, in PEM. Nothing: the public ones.
    pub ca_file: Option<PathBuf>,
    /// Most connections.
    pub connections_max: u32,
    /// How long connecting may take, and waiting for a free connection.
    pub connect_timeout: Duration,
    /// How long one transaction may take, tries and all.
    pub transaction_timeout: Duration,
    /// How far this machine's clock may be from the database's. Nothing: it is not looked at, for tests that make up their times.
    pub clock_skew_max: Option<Duration>,
}

impl MariaDbSettings {
    /// With defaults.
    pub fn new(url: String, key_file: PathBuf) -> Self {
        Self {
            url,
            replica_url: None,
            password: None,
            key_file,
            ca_file: None,
            connections_max: 32,
            connect_timeout: Duration::from_secs(5),
            transaction_timeout: Duration::from_secs(20),
            clock_skew_max: Some(Duration::from_secs(2)),
        }
    }
}

impl std::fmt::Debug for MariaDbSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold the password.
        f.debug_struct("MariaDbSettings")
            .field("key_file", &self.key_file)
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}
