//! That a database's content is being moved away, or was.

use reveille_vault::BlindKey;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::OpenError;

/// What the move of a database is called, and whether it is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) id: [u8; 16],
    pub(super) is_over: bool,
}

pub(super) fn find(connection: &Connection) -> rusqlite::Result<Option<Mark>> {
    connection
        .query_row("SELECT id, is_over FROM moved", [], |row| {
            Ok(Mark { id: row.get(0)?, is_over: row.get(1)? })
        })
        .optional()
}

/// Marks a database that has no mark.
pub(super) fn begin(connection: &Connection) -> rusqlite::Result<Mark> {
    let id: [u8; 16] = BlindKey::fresh().first_chunk().copied().unwrap_or_default();
    connection.execute("INSERT INTO moved (one, id, is_over) VALUES (1, ?1, 0)", params![id])?;
    Ok(Mark { id, is_over: false })
}

pub(super) fn finish(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE moved SET is_over = 1", []).map(drop)
}

/// Takes the mark away. Returns whether there was one.
pub(super) fn take_back(connection: &Connection) -> rusqlite::Result<bool> {
    connection.execute("DELETE FROM moved", []).map(|gone| gone > 0)
}

/// Refuses a database whose content is somewhere else, or on its way there: who went on with it would lose what they write.
pub(crate) fn refuse_moved(connection: &Connection) -> Result<(), OpenError> {
    match find(connection)? {
        None => Ok(()),
        Some(Mark { is_over: false, .. }) => Err(OpenError::Moving),
        Some(Mark { is_over: true, .. }) => Err(OpenError::Moved),
    }
}
