//! The numbers of credential sets. They never change, so that each is asked for once.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use reveille_model::CredentialSet;
use sqlx::MySqlPool;

use crate::codec::{credential_set, number};
use crate::error::{Done, corrupt};
use crate::statement::query;

/// What is known of them.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    ids: RwLock<BTreeMap<CredentialSet, i64>>,
    names: RwLock<BTreeMap<i64, CredentialSet>>,
}

impl Sets {
    fn known(&self, set: &CredentialSet) -> Option<i64> {
        self.ids.read().unwrap_or_else(PoisonError::into_inner).get(set).copied()
    }

    fn known_name(&self, id: i64) -> Option<CredentialSet> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    fn learn(&self, id: i64, set: &CredentialSet) {
        self.ids.write().unwrap_or_else(PoisonError::into_inner).insert(set.clone(), id);
        self.names.write().unwrap_or_else(PoisonError::into_inner).insert(id, set.clone());
    }

    /// The number of a credential set, which gets one where it has none. Outside of any transaction: nobody waits for it.
    pub(crate) async fn id(&self, pool: &MySqlPool, set: &CredentialSet) -> Done<i64> {
        if let Some(id) = self.known(set) {
            return Ok(id);
        }
        let name = set.to_string();
        query("INSERT INTO credential_sets (name) VALUES (?) ON DUPLICATE KEY UPDATE name = name")
            .bind(name.as_bytes())
            .execute(pool)
            .await?;
        let found = query("SELECT id FROM credential_sets WHERE name = ?").bind(name.as_bytes());
        let id = number(&found.fetch_one(pool).await?, 0)?;
        self.learn(id, set);
        Ok(id)
    }

    /// The credential set of a number.
    pub(crate) async fn name(&self, pool: &MySqlPool, id: i64) -> Done<CredentialSet> {
        if let Some(set) = self.known_name(id) {
            return Ok(set);
        }
        let found = query("SELECT name FROM credential_sets WHERE id = ?").bind(id);
        let row = found.fetch_optional(pool).await?.ok_or_else(corrupt)?;
        let set = credential_set(&row, 0)?;
        self.learn(id, &set);
        Ok(set)
    }
}
