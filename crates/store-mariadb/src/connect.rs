//! Connecting: as whom, encrypted or not, and what a session is like.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};
use sqlx::{ConnectOptions as _, Executor as _, MySqlConnection, MySqlPool, query};
use url::Url;

use crate::codec::{number, text};
use crate::engine::Masters;
use crate::{MariaDbError, MariaDbSettings};

/// Statements that are kept prepared, of each connection.
const STATEMENTS_MAX: usize = 512;
/// How long a connection may be idle.
const IDLE_MAX: Duration = Duration::from_mins(10);

/// What every session is like. Each statement sees what was committed before it; nobody waits for gaps.
/// A transaction of a process that hangs, or that nobody can reach any more, is taken back after a while: others wait for what it has locked.
const SESSION: [&str; 3] = [
    "SET SESSION idle_transaction_timeout = 5",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION innodb_lock_wait_timeout = 5",
];

/// And on Galera: a statement that is a transaction of its own is tried again by the server where another master was first.
const ON_GALERA: &str = "SET SESSION wsrep_retry_autocommit = 20";

/// Connects, with as many connections as it takes later.
pub(crate) async fn connect(settings: &MariaDbSettings) -> Result<MySqlPool, MariaDbError> {
    let options = options(settings, &settings.url)?;
    let pool = pool(settings).connect_with(options);
    let pool = tokio::time::timeout(settings.connect_timeout, pool).await.map_err(|_| {
        MariaDbError::Connect(format!("no answer within {} s", settings.connect_timeout.as_secs()))
    })??;
    Ok(pool)
}

/// The server that follows, which is connected to when it is asked.
pub(crate) fn replica(settings: &MariaDbSettings) -> Result<Option<MySqlPool>, MariaDbError> {
    let Some(url) = &settings.replica_url else { return Ok(None) };
    let options = options(settings, url)?;
    Ok(Some(pool(settings).connect_lazy_with(options)))
}

fn pool(settings: &MariaDbSettings) -> MySqlPoolOptions {
    MySqlPoolOptions::new()
        .max_connections(settings.connections_max)
        .acquire_timeout(settings.connect_timeout)
        .idle_timeout(IDLE_MAX)
        // A connection that is gone is noticed by whoever uses it next, and that is tried again.
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(begin_session(connection)))
}

async fn begin_session(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    for statement in SESSION {
        connection.execute(statement).await?;
    }
    if masters(connection).await? == Masters::Several {
        connection.execute(ON_GALERA).await?;
    }
    Ok(())
}

/// Whether there are several masters.
pub(crate) async fn masters(connection: &mut MySqlConnection) -> Result<Masters, sqlx::Error> {
    // A server that knows nothing of it has no such variable.
    let row = query("SHOW VARIABLES LIKE 'wsrep\\_on'").fetch_optional(connection).await?;
    let is_on = row.map(|row| text(&row, 1)).transpose()?.is_some_and(|value| value == "ON");
    Ok(if is_on { Masters::Several } else { Masters::One })
}

fn options(settings: &MariaDbSettings, address: &str) -> Result<MySqlConnectOptions, MariaDbError> {
    let url = Url::parse(address).map_err(|_| MariaDbError::Address)?;
    let is_ours = ["mariadb", "mysql"].contains(&url.scheme());
    let host = url.host_str().filter(|_| is_ours).ok_or(MariaDbError::Address)?;
    if url.username().is_empty() || url.path().trim_matches('/').is_empty() {
        return Err(MariaDbError::Address);
    }
    let says = |name: &str| url.query_pairs().any(|(key, _)| key == name);
    let stays_here = says("socket") || is_loopback(host);
    let mut options = MySqlConnectOptions::from_str(address)
        .map_err(|_| MariaDbError::Address)?
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging();
    if let Some(password) = &settings.password {
        options = options.password(password);
    }
    if let Some(authority) = &settings.ca_file {
        options = options.ssl_ca(authority);
    }
    if !says("ssl-mode") && (!stays_here || settings.ca_file.is_some()) {
        // Whoever is on the way sees tokens only sealed, and names plain; and could change both.
        options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
    }
    Ok(options)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Refuses a server whose answers mean less than they say.
pub(crate) async fn check_settings(pool: &MySqlPool) -> Result<(), MariaDbError> {
    let row = query(concat!(
        "SELECT CAST(@@GLOBAL.innodb_flush_log_at_trx_commit AS SIGNED), CAST(@@sql_mode AS BINARY),",
        " CAST(VERSION() AS BINARY), CAST(@@GLOBAL.log_bin AS SIGNED), CAST(@@GLOBAL.binlog_format AS BINARY)"
    ));
    let row = row.fetch_one(pool).await?;
    if number(&row, 0)? != 1 {
        return Err(MariaDbError::Setting(
            "innodb_flush_log_at_trx_commit is not 1: what was accepted would not be on disk yet; set it to 1 and restart the server".to_owned(),
        ));
    }
    let version = text(&row, 2)?;
    if !is_new_enough(&version) {
        return Err(MariaDbError::Setting(format!(
            "the server is {version}; MariaDB 10.6 or later is needed (SKIP LOCKED)"
        )));
    }
    if number(&row, 3)? != 0 && text(&row, 4)? == "STATEMENT" {
        return Err(MariaDbError::Setting(
            "binlog_format is STATEMENT: replicas would have other rows; set it to ROW or MIXED"
                .to_owned(),
        ));
    }
    Ok(())
}

/// As in `10.11.6-MariaDB-0+deb12u1`.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => {
            version.contains("MariaDB") && (major, minor) >= (10, 6)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use sqlx::mysql::MySqlSslMode;

    use super::{is_new_enough, options};
    use crate::{MariaDbError, MariaDbSettings};

    fn mode(url: &str) -> Option<MySqlSslMode> {
        options(&MariaDbSettings::new(url.to_owned(), "keys".into()), url)
            .ok()
            .map(|options| options.get_ssl_mode())
    }

    #[test]
    fn what_crosses_a_network_is_encrypted_and_verified() {
        let verified = |url| matches!(mode(url), Some(MySqlSslMode::VerifyIdentity));
        assert!(verified("mariadb://reveille@db.example/reveille"));
        assert!(verified("mariadb://reveille@10.0.0.1/reveille"));
        assert!(!verified("mariadb://reveille@127.0.0.1/reveille"));
        assert!(!verified("mariadb://reveille@db.example/reveille?ssl-mode=disabled"));
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for url in
            ["", "sqlite:x", "mariadb://host/db", "mariadb://user@host", "http://user@host/db"]
        {
            let refused = options(&MariaDbSettings::new(url.to_owned(), "keys".into()), url);
            assert!(matches!(refused, Err(MariaDbError::Address)), "{url}");
        }
    }

    #[test]
    fn only_servers_that_skip_locked_rows_will_do() {
        assert!(is_new_enough("10.11.6-MariaDB-0+deb12u1") && is_new_enough("11.4.2-MariaDB"));
        assert!(
            !is_new_enough("10.5.9-MariaDB") && !is_new_enough("8.0.36") && !is_new_enough("x")
        );
    }
}
