//! Keys in SQLite.

use async_trait::async_trait;
use reveille_store::{Keys, StoreError};
use reveille_vault::Purpose;
use rusqlite::params;

use crate::SqliteStore;
use crate::codec::store_error;

#[async_trait]
impl Keys for SqliteStore {
    async fn key(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let name = name.to_owned();
        self.writer
            .write(move |tables| {
                let sealed = tables.vault.seal(Purpose::Key, &fresh);
                let insert = "INSERT INTO keys (name, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                let select = "SELECT key FROM keys WHERE name = ?1";
                tables
                    .connection
                    .execute(insert, params![name, sealed])
                    .and_then(|_| tables.connection.query_row(select, [&name], |row| row.get(0)))
                    .map_err(|error| store_error(&error))
                    .and_then(|sealed: Vec<u8>| {
                        let key = tables.vault.open(Purpose::Key, &sealed);
                        key.and_then(|key| key.try_into().ok()).ok_or_else(unreadable)
                    })
            })
            .await
    }
}

fn unreadable() -> StoreError {
    StoreError::Corrupt("a key cannot be read".to_owned())
}
