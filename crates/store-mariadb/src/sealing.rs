//! Which key a database is sealed with.

use std::path::Path;

use reveille_vault::{KeyFile, KeyId, Vault};
use sqlx::MySqlPool;

use crate::MariaDbError;
use crate::codec::array;
use crate::statement::query;

/// The key of a database. A new database gets the newest key of the file, which is made where there is none; every other node needs that file.
pub(crate) async fn unlock(pool: &MySqlPool, key_file: &Path) -> Result<Vault, MariaDbError> {
    let file = KeyFile::read(key_file)?;
    if let Some(id) = sealed_with(pool).await? {
        return opened(file, id, key_file);
    }
    let file = match file {
        Some(file) => file,
        None => {
            let file = KeyFile::create(key_file)?;
            tracing::info!(file = %key_file.display(), "a key was made that seals the database; every node needs this file, and you a copy of it");
            file
        }
    };
    let insert = query("INSERT IGNORE INTO sealing (one, key_id) VALUES (1, ?)");
    insert.bind(file.newest().id().0.to_vec()).execute(pool).await?;
    // Another node may have been first, with another key.
    let id = sealed_with(pool).await?.unwrap_or_else(|| file.newest().id());
    opened(Some(file), id, key_file)
}

fn opened(file: Option<KeyFile>, id: KeyId, path: &Path) -> Result<Vault, MariaDbError> {
    let vault = file.and_then(|file| file.vault(id));
    vault.ok_or_else(|| MariaDbError::KeyMissing { id, path: path.to_owned() })
}

async fn sealed_with(pool: &MySqlPool) -> Result<Option<KeyId>, MariaDbError> {
    let row = query("SELECT key_id FROM sealing").fetch_optional(pool).await?;
    row.map(|row| Ok(KeyId(array(&row, 0)?))).transpose()
}
