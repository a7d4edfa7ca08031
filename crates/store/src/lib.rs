//! What is kept, as small traits; the in-memory store; the contract every store passes.
