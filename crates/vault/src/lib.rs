//! Secrets at rest. What stores keep of devices is sealed with a key that is not in the store, and found again by a keyed hash of it, so that
//! whoever has a copy of a database has no device's token.

mod key_file;
mod vault;

pub use key_file::{KeyFile, KeyFileError};
pub use vault::{BlindKey, KeyId, Purpose, Vault};
