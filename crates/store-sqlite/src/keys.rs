//! Keys in SQLite.

use async_trait::async_trait;
use reveille_store::{Keys, StoreError};
use reveille_vault::Purpose;
use rusqlite::params;

use crate::SqliteStore;
use crate::codec::store_error;
use crate::engine::Tables;

#[async_trait]
impl Keys for SqliteStore {
    async fn key(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let name = name.to_owned();
        self.writer.write(move |tables| tables.key(&name, fresh)).await
    }
}

impl Tables {
    /// The key of a name; `fresh` where there is none yet.
    pub(crate) fn key(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let sealed = self.vault.seal(Purpose::Key, &fresh);
        let insert = "INSERT INTO keys (name, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let select = "SELECT key FROM keys WHERE name = ?1";
        let found: rusqlite::Result<Vec<u8>> = self
            .connection
            .execute(insert, params![name, sealed])
            .and_then(|_| self.connection.query_row(select, [name], |row| row.get(0)));
        let sealed = found.map_err(|error| store_error(&error))?;
        let key = self.vault.open(Purpose::Key, &sealed);
        key.and_then(|key| key.try_into().ok()).ok_or_else(unreadable)
    }
}

fn unreadable() -> StoreError {
    StoreError::Corrupt("a key cannot be read".to_owned())
}
