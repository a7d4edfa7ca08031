//! What can go wrong with any store, by what the caller can do about it.

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Too much is waiting for the store. Nothing was written; try again shortly.
    #[error("the store's queue is full")]
    Busy,
    /// The store cannot be reached or cannot write. Nothing was promised; try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be understood. Someone must look.
    #[error("the store holds something it should not: {0}")]
    Corrupt(String),
}
