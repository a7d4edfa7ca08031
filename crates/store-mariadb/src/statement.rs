//! A statement with its values, and the two ways it is sent.
//!
//! Prepared is the usual one. In a transaction on Galera it is not safe: where another master's transaction takes ours back just when a statement is prepared, the
//! server tells nobody. What was written before is gone, and what comes after is written all the same, each statement by itself (seen with MariaDB 10.11.19, by
//! `tests/galera.rs`). So there statements are sent as text, with their values as literals.

use std::fmt::Write as _;

use sqlx::mysql::{MySqlArguments, MySqlQueryResult, MySqlRow};
use sqlx::{AssertSqlSafe, Executor, MySql, SqlSafeStr, SqlStr};

use crate::engine::Masters;

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Prepared,
    Text,
}

impl Sent {
    /// In transactions.
    pub(crate) const fn to(masters: Masters) -> Self {
        match masters {
            Masters::One => Self::Prepared,
            Masters::Several => Self::Text,
        }
    }
}

/// A value of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Number(i64),
    Bytes(Vec<u8>),
}

/// A statement of ours, each `?` of which stands for a value.
#[must_use]
pub(crate) struct Query {
    sql: SqlStr,
    values: Vec<Value>,
}

pub(crate) fn query(sql: impl SqlSafeStr) -> Query {
    Query { sql: sql.into_sql_str(), values: Vec::new() }
}

type Prepared = sqlx::query::Query<'static, MySql, MySqlArguments>;

impl Query {
    /// Adds the value of the next `?`.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    fn prepared(self) -> Prepared {
        self.values.into_iter().fold(sqlx::query(self.sql), |query, value| match value {
            Value::Null => query.bind(None::<i64>),
            Value::Number(number) => query.bind(number),
            Value::Bytes(bytes) => query.bind(bytes),
        })
    }

    /// As text. Nothing in it is read as anything else than a value: there are numbers, and bytes as hexadecimal digits.
    fn literal(&self) -> Result<AssertSqlSafe<String>, sqlx::Error> {
        let size = self.values.iter().map(|value| match value {
            Value::Null | Value::Number(_) => 20,
            Value::Bytes(bytes) => 3 + 2 * bytes.len(),
        });
        let mut text = String::with_capacity(self.sql.as_str().len() + size.sum::<usize>());
        let mut values = self.values.iter();
        for (place, part) in self.sql.as_str().split('?').enumerate() {
            if place > 0 {
                let value = values.next().ok_or_else(wrong_count)?;
                value.write(&mut text).map_err(|_| wrong_count())?;
            }
            text.push_str(part);
        }
        if values.next().is_some() {
            return Err(wrong_count());
        }
        Ok(AssertSqlSafe(text))
    }

    /// Carries it out by itself, or in a transaction nobody else can take back.
    pub(crate) async fn execute<'c>(
        self,
        executor: impl Executor<'c, Database = MySql>,
    ) -> Result<MySqlQueryResult, sqlx::Error> {
        self.prepared().execute(executor).await
    }

    pub(crate) async fn fetch_one<'c>(
        self,
        executor: impl Executor<'c, Database = MySql>,
    ) -> Result<MySqlRow, sqlx::Error> {
        self.prepared().fetch_one(executor).await
    }

    pub(crate) async fn fetch_optional<'c>(
        self,
        executor: impl Executor<'c, Database = MySql>,
    ) -> Result<Option<MySqlRow>, sqlx::Error> {
        self.prepared().fetch_optional(executor).await
    }

    pub(crate) async fn fetch_all<'c>(
        self,
        executor: impl Executor<'c, Database = MySql>,
    ) -> Result<Vec<MySqlRow>, sqlx::Error> {
        self.prepared().fetch_all(executor).await
    }

    /// Carries it out in a transaction.
    pub(crate) async fn execute_in<'c>(
        self,
        sent: Sent,
        transaction: impl Executor<'c, Database = MySql>,
    ) -> Result<MySqlQueryResult, sqlx::Error> {
        match sent {
            Sent::Prepared => self.prepared().execute(transaction).await,
            Sent::Text => sqlx::raw_sql(self.literal()?).execute(transaction).await,
        }
    }

    /// The rows it finds, in a transaction. All of them are read: what fails after the first one is this statement's failure, and not the next one's.
    pub(crate) async fn fetch_in<'c>(
        self,
        sent: Sent,
        transaction: impl Executor<'c, Database = MySql>,
    ) -> Result<Vec<MySqlRow>, sqlx::Error> {
        match sent {
            Sent::Prepared => self.prepared().fetch_all(transaction).await,
            Sent::Text => sqlx::raw_sql(self.literal()?).fetch_all(transaction).await,
        }
    }
}

fn wrong_count() -> sqlx::Error {
    sqlx::Error::Protocol("a statement has not as many values as places for them".to_owned())
}

impl Value {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        match self {
            Self::Null => text.write_str("NULL"),
            Self::Number(number) => write!(text, "{number}"),
            Self::Bytes(bytes) => {
                text.write_str("x'")?;
                for byte in bytes {
                    write!(text, "{byte:02x}")?;
                }
                text.write_str("'")
            }
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&i64> for Value {
    fn from(number: &i64) -> Self {
        Self::Number(*number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Number(flag.into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::{Value, query};

    fn text(sql: &'static str, values: Vec<Value>) -> Option<String> {
        let bound = values.into_iter().fold(query(sql), super::Query::bind);
        bound.literal().ok().map(|text| text.0)
    }

    #[test]
    fn values_are_literals() {
        let values =
            vec![i64::MIN.into(), true.into(), None::<i64>.into(), b"'\\\0?".as_slice().into()];
        let all = text("VALUES (?, ?, ?, ?)", values).unwrap();
        assert_eq!(all, "VALUES (-9223372036854775808, 1, NULL, x'275c003f')");
        assert_eq!(text("SELECT x = ?", vec![Vec::new().into()]).unwrap(), "SELECT x = x''");
    }

    #[test]
    fn each_place_has_its_value() {
        assert_eq!(text("SELECT ?", vec![]), None);
        assert_eq!(text("SELECT 1", vec![1_i64.into()]), None);
    }
}
