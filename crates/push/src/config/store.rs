//! `store`, and what belongs to it: `key_file` and `[push.mariadb]`.

use std::path::PathBuf;

use reveille_model::Duration;
use reveille_service::config::Section;

/// Where everything is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:FILE`.
    Sqlite {
        /// The file.
        database: PathBuf,
        /// The keys it is sealed with.
        key_file: PathBuf,
    },
    /// `mariadb://USER@HOST[:PORT]/DATABASE`.
    MariaDb(MariaDbConfig),
}

/// Which `MariaDB`, and within which bounds.
#[derive(Clone, PartialEq, Eq)]
pub struct MariaDbConfig {
    /// The address.
    pub url: String,
    /// The address of a server that follows that one.
    pub replica_url: Option<String>,
    /// The user's password, if it is not in the address.
    pub password: Option<String>,
    /// The keys it is sealed with, the same on every node.
    pub key_file: PathBuf,
    /// The authority that the server's certificate is checked against.
    pub ca_file: Option<PathBuf>,
    /// Most connections of this process.
    pub connections_max: u32,
    /// How long connecting may take, and waiting for a free connection.
    pub connect_timeout: Duration,
    /// How long one transaction may take, tries and all.
    pub transaction_timeout: Duration,
    /// How far this machine's clock may be from the database's.
    pub clock_skew_max: Duration,
}

impl std::fmt::Debug for MariaDbConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold the password.
        f.debug_struct("MariaDbConfig").field("key_file", &self.key_file).finish_non_exhaustive()
    }
}

/// Most connections of a process unless it is told.
const CONNECTIONS: u32 = 32;
/// Longest time to connect unless it is told, in milliseconds.
const CONNECT_MS: u32 = 5_000;
/// Longest time of one transaction unless it is told, in milliseconds.
const TRANSACTION_MS: u32 = 20_000;
/// How far clocks may be apart unless it is told, in milliseconds.
const SKEW_MS: u32 = 2_000;

/// What was built, in words of the configuration.
const KNOWN: &str = "this must be \"sqlite:FILE\" or \"mariadb://USER@HOST/DATABASE\"";

impl StoreUrl {
    pub(super) fn read(push: &mut Section) -> Option<Self> {
        let mariadb = push.section("mariadb");
        let text = push.required_string("store", "sqlite:reveille.db")?;
        match text.split_once(':') {
            Some(("sqlite", file)) if !file.is_empty() => {
                if !mariadb.is_empty() {
                    push.problem("mariadb", "this section belongs to a store \"mariadb://…\"");
                }
                let beside = push.resolve(&format!("{file}.key"));
                let key_file = push.path("key_file").unwrap_or(beside);
                Some(Self::Sqlite { database: push.resolve(file), key_file })
            }
            Some(("mariadb", rest)) if rest.starts_with("//") => {
                let key_file = push.path("key_file");
                if key_file.is_none() {
                    push.problem(
                        "key_file",
                        "this is needed with a store \"mariadb://…\": the file of the key that seals it, the same on every node; the first one makes it",
                    );
                }
                let config = MariaDbConfig::read(text, key_file, mariadb);
                config.map(Self::MariaDb)
            }
            _ => {
                push.problem("store", KNOWN);
                None
            }
        }
    }
}

impl MariaDbConfig {
    fn read(url: String, key_file: Option<PathBuf>, mut section: Section) -> Option<Self> {
        let mut ms = |key: &str, default: u32, range| {
            Duration::from_ms(section.number(key, range).unwrap_or(default).into())
        };
        let connect_timeout = ms("connect_timeout_ms", CONNECT_MS, 50..=60_000);
        let transaction_timeout = ms("transaction_timeout_ms", TRANSACTION_MS, 1_000..=120_000);
        let clock_skew_max = ms("clock_skew_max_ms", SKEW_MS, 100..=60_000);
        let connections_max = section.number("connections_max", 4..=1_000).unwrap_or(CONNECTIONS);
        let replica_url = section.string("replica");
        if replica_url.as_ref().is_some_and(|url| !url.starts_with("mariadb://")) {
            section.problem("replica", "this must be \"mariadb://USER@HOST/DATABASE\"");
        }
        let password = section.secret("password_file");
        let ca_file = section.path("ca_file");
        section.finish();
        Some(Self {
            url,
            replica_url,
            password,
            key_file: key_file?,
            ca_file,
            connections_max,
            connect_timeout,
            transaction_timeout,
            clock_skew_max,
        })
    }
}
