//! The tables in `MariaDB`.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, MySqlConnection, Row as _};

use crate::row::{format_time, parse_time};
use crate::{EchoError, EchoRow};

/// Longest time for one answer. A page is some milliseconds.
const ANSWER_TIME_MAX: Duration = Duration::from_mins(1);

/// Names of providers and topics, by their numbers.
type Names = Vec<(u64, String)>;

/// A connection, and what its tables are called.
#[derive(Debug)]
pub(crate) struct MariaDb {
    connection: MySqlConnection,
    prefix: String,
}

/// What is asked for within bounds.
async fn within<T>(asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, EchoError> {
    match tokio::time::timeout(ANSWER_TIME_MAX, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(EchoError::TooLong(ANSWER_TIME_MAX.as_secs())),
    }
}

impl MariaDb {
    /// Connects to `mariadb://USER[:PASSWORD]@HOST[:PORT]/DATABASE`.
    pub(crate) async fn open(
        url: &str,
        password: Option<&str>,
        prefix: &str,
    ) -> Result<Self, EchoError> {
        if !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(EchoError::Prefix);
        }
        let mut options = MySqlConnectOptions::from_str(url)?;
        if let Some(password) = password {
            options = options.password(password);
        }
        // A wiki writes times as texts, and knows nothing of the database's time zone: they are read and written as texts here, too.
        let options = options.timezone(None::<String>).disable_statement_logging();
        let connection = within(options.connect()).await?;
        Ok(Self { connection, prefix: prefix.to_owned() })
    }

    fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        // The prefix is a word, and everything else is ours.
        AssertSqlSafe(text.replace("{}", &self.prefix))
    }

    /// How many rows come after an id.
    pub(crate) async fn count(&mut self, after: u64) -> Result<u64, EchoError> {
        let sql = self.sql("SELECT COUNT(*) FROM {}echo_push_subscription WHERE eps_id > ?");
        let count = sqlx::query_scalar(sql).bind(after).fetch_one(&mut self.connection);
        let count: i64 = within(count).await?;
        Ok(count.cast_unsigned())
    }

    /// Rows after an id, in the order of their ids.
    pub(crate) async fn page(&mut self, after: u64, limit: u32) -> Result<Vec<EchoRow>, EchoError> {
        let sql = self.sql(concat!(
            "SELECT CAST(eps_id AS UNSIGNED) AS id, CAST(eps_user AS UNSIGNED) AS user,",
            " CAST(eps_token AS BINARY) AS token, CAST(epp_name AS BINARY) AS provider,",
            " CAST(ept_text AS BINARY) AS topic, CAST(DATE_FORMAT(eps_updated, '%Y%m%d%H%i%S') AS BINARY) AS updated",
            " FROM {}echo_push_subscription",
            " LEFT JOIN {}echo_push_provider ON epp_id = eps_provider",
            " LEFT JOIN {}echo_push_topic ON ept_id = eps_topic",
            " WHERE eps_id > ? ORDER BY eps_id LIMIT ?"
        ));
        let rows = sqlx::query(sql).bind(after).bind(limit).fetch_all(&mut self.connection);
        within(rows).await?.iter().map(|row| read(row).map_err(EchoError::from)).collect()
    }

    /// The names of one of the two tables that give names.
    async fn names(&mut self, table: &str, id: &str, name: &str) -> Result<Names, EchoError> {
        let sql = self.sql(&format!(
            "SELECT CAST({id} AS UNSIGNED), CAST({name} AS BINARY) FROM {{}}{table} ORDER BY {id}"
        ));
        let rows = within(sqlx::query(sql).fetch_all(&mut self.connection)).await?;
        let names: Result<Names, sqlx::Error> =
            rows.iter().map(|row| Ok((row.try_get(0)?, text(row.try_get(1)?)))).collect();
        Ok(names?)
    }

    /// The number of a name, which is given one if it has none.
    async fn number(
        &mut self,
        (table, id, name): (&str, &str, &str),
        wanted: &str,
    ) -> Result<u64, EchoError> {
        let names = self.names(table, id, name).await?;
        if let Some((number, _)) = names.iter().find(|(_, each)| each == wanted) {
            return Ok(*number);
        }
        if names.iter().any(|(number, _)| *number >= u8::MAX.into()) {
            return Err(EchoError::TooManyTopics);
        }
        let sql = self.sql(&format!("INSERT INTO {{}}{table} ({name}) VALUES (?)"));
        let inserted = sqlx::query(sql).bind(wanted).execute(&mut self.connection);
        Ok(within(inserted).await?.last_insert_id())
    }

    /// The number of a provider.
    pub(crate) async fn provider(&mut self, name: &str) -> Result<u64, EchoError> {
        self.number(("echo_push_provider", "epp_id", "epp_name"), name).await
    }

    /// The number of a topic.
    pub(crate) async fn topic(&mut self, name: &str) -> Result<u64, EchoError> {
        self.number(("echo_push_topic", "ept_id", "ept_text"), name).await
    }

    /// Writes a row under its token, whatever its id is: a new one, or in the place of the one that is there, unless that is newer.
    pub(crate) async fn write(
        &mut self,
        row: &EchoRow,
        (provider, topic): (u64, Option<u64>),
    ) -> Result<(), EchoError> {
        let sql = self.sql(concat!(
            "INSERT INTO {}echo_push_subscription",
            " (eps_user, eps_token, eps_token_sha256, eps_provider, eps_updated, eps_topic)",
            " VALUES (?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE",
            // Assigned from left to right: what is compared comes last.
            " eps_user = IF(VALUES(eps_updated) < eps_updated, eps_user, VALUES(eps_user)),",
            " eps_provider = IF(VALUES(eps_updated) < eps_updated, eps_provider, VALUES(eps_provider)),",
            " eps_topic = IF(VALUES(eps_updated) < eps_updated, eps_topic, VALUES(eps_topic)),",
            " eps_updated = GREATEST(eps_updated, VALUES(eps_updated))"
        ));
        let written = sqlx::query(sql)
            .bind(row.user)
            .bind(row.token.as_slice())
            .bind(row.sha256())
            .bind(provider)
            .bind(format_time(row.updated_s.unwrap_or_default()))
            .bind(topic)
            .execute(&mut self.connection);
        within(written).await.map(drop)
    }

    /// Rows that are written from now on are written together.
    pub(crate) async fn begin(&mut self) -> Result<(), EchoError> {
        let begun = sqlx::query("START TRANSACTION").execute(&mut self.connection);
        within(begun).await.map(drop)
    }

    /// What was written is there.
    pub(crate) async fn commit(&mut self) -> Result<(), EchoError> {
        within(sqlx::query("COMMIT").execute(&mut self.connection)).await.map(drop)
    }

    /// Says good-bye.
    pub(crate) async fn close(self) -> Result<(), EchoError> {
        within(self.connection.close()).await
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn read(row: &MySqlRow) -> Result<EchoRow, sqlx::Error> {
    let named =
        |name: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<Vec<u8>>, _>(name)?.map(text));
    Ok(EchoRow {
        id: row.try_get("id")?,
        user: row.try_get("user")?,
        token: row.try_get("token")?,
        provider: named("provider")?,
        topic: named("topic")?,
        updated_s: named("updated")?.as_deref().and_then(parse_time),
    })
}
