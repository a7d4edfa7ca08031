//! Keys in `MariaDB`.

use async_trait::async_trait;
use reveille_store::{Keys, StoreError};
use reveille_vault::Purpose;

use crate::MariaDbStore;
use crate::codec::bytes;
use crate::engine::Engine;
use crate::error::Done;
use crate::statement::query;

#[async_trait]
impl Keys for MariaDbStore {
    async fn key(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let sealed = self.engine.sealed_key(name, fresh).await?;
        let key = self.engine.vault.open(Purpose::Key, &sealed);
        let unreadable = || StoreError::Corrupt("a key cannot be read".to_owned());
        key.and_then(|key| key.try_into().ok()).ok_or_else(unreadable)
    }
}

impl Engine {
    async fn sealed_key(&self, name: &str, fresh: [u8; 32]) -> Done<Vec<u8>> {
        let insert = query("INSERT IGNORE INTO secret_keys (name, sealed) VALUES (?, ?)");
        let sealed = self.vault.seal(Purpose::Key, &fresh);
        insert.bind(name.as_bytes()).bind(sealed).execute(&self.pool).await?;
        let select = query("SELECT sealed FROM secret_keys WHERE name = ?").bind(name.as_bytes());
        Ok(bytes(&select.fetch_one(&self.pool).await?, 0)?)
    }
}
