//! Keys in SQLite.

use async_trait::async_trait;
use reveille_store::{Keys, StoreError};
use rusqlite::params;

use crate::SqliteStore;
use crate::codec::store_error;

#[async_trait]
impl Keys for SqliteStore {
    async fn key(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let name = name.to_owned();
        self.writer
            .write(move |tables| {
                let insert = "INSERT INTO keys (name, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                let select = "SELECT key FROM keys WHERE name = ?1";
                tables
                    .connection
                    .execute(insert, params![name, fresh])
                    .and_then(|_| tables.connection.query_row(select, [&name], |row| row.get(0)))
                    .map_err(|error| store_error(&error))
            })
            .await
    }
}
