//! What the writer's commands work on.

use reveille_store::StoreError;
use rusqlite::Connection;

/// The connection inside a transaction, and what is kept in memory beside it. What is kept goes back with the writes it belongs to.
pub(crate) trait State: Send + 'static {
    /// What a command that fails must not leave changed.
    type Kept;

    /// The connection.
    fn connection(&self) -> &Connection;

    /// What is kept, as a command finds it.
    fn kept(&self) -> Self::Kept;

    /// A command failed: its writes are taken back.
    fn put_back(&mut self, kept: Self::Kept);

    /// A command succeeded: what follows from it, in the same transaction.
    fn command_done(&mut self) -> rusqlite::Result<()>;

    /// Nothing more comes into the transaction: what is written once for all of it.
    fn before_commit(&mut self) -> rusqlite::Result<()>;

    /// The transaction is on disk.
    fn committed(&mut self);

    /// The transaction was taken back.
    fn undo(&mut self);

    /// Reads anew what is kept beside the connection.
    fn reload(&mut self) -> Result<(), StoreError>;
}
