//! Secret keys that are created once and then never change.

use async_trait::async_trait;

use crate::StoreError;

/// Keeps secret keys by name.
#[async_trait]
pub trait Keys: Send + Sync {
    /// The key of this name; `fresh` becomes it where there is none yet. Everyone who ever asks gets the same.
    async fn key(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32], StoreError>;
}
