//! What can be wrong with a wiki's tables.

use std::path::{Path, PathBuf};

/// Why rows cannot be read or written. Nothing of a token is in its words.
#[derive(Debug, thiserror::Error)]
pub enum EchoError {
    /// It is neither an address nor a folder.
    #[error(
        "it must be mariadb://USER@HOST/DATABASE, or a folder with echo_push_subscription.csv or .tsv (behind --table-prefix, if the tables have one)"
    )]
    Address,
    /// The prefix of the tables is no word.
    #[error("a prefix of tables has letters, digits and _ only")]
    Prefix,
    /// The database does not do what it is asked.
    #[error("the database does not do it: {0}")]
    Database(String),
    /// The database takes too long.
    #[error("the database does not answer within {0} s")]
    TooLong(u64),
    /// A file cannot be used.
    #[error("{}: {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// There are more topics than the table has numbers for.
    #[error("there are more than 255 topics, which is all that echo_push_topic has numbers for")]
    TooManyTopics,
}

impl EchoError {
    pub(crate) fn file(path: &Path, what: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), what: what.into() }
    }
}

impl From<sqlx::Error> for EchoError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(match &error {
            // What a server says of a statement may repeat what stood in it.
            sqlx::Error::Database(error) => {
                format!("it answers with error {}", error.code().unwrap_or_default())
            }
            sqlx::Error::Configuration(_) => "its address does not make sense".to_owned(),
            _ => error.to_string(),
        })
    }
}
