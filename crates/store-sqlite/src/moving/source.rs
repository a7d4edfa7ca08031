//! A database that is moved away.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use reveille_model::Timestamp;
use reveille_store::StoreError;
use reveille_store::moving::{Cell, Kind, Page, Row, Table, pack, unpack};
use reveille_vault::{Purpose, Vault};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

use super::mark::{self, Mark};
use super::select::{self, From};
use crate::OpenError;
use crate::codec::misfit;
use crate::engine::{Tables, connect, lock};
use crate::migrations::migrate_push;
use crate::outbox::{Waiting, find_waiting};
use crate::sealing::unlock;

/// A database that is moved away. Until this is dropped no other process opens it. Nothing of it changes but its mark, so that what is read in pieces fits together,
/// however often it is opened meanwhile.
#[derive(Debug)]
pub struct MoveSource {
    connection: Connection,
    vault: Arc<Vault>,
    mark: Option<Mark>,
    _lock: File,
}

impl MoveSource {
    /// Opens a database that is there, and brings it to this version's schema. What a crash left behind is put right, unless the move has begun.
    pub fn open(path: &Path, key_file: &Path, now: Timestamp) -> Result<Self, OpenError> {
        let (connection, vault, lock) = unlocked(path, key_file)?;
        let (vault, mark) = (Arc::new(vault), mark::find(&connection)?);
        let connection = match mark {
            Some(_) => connection,
            None => recovered(connection, &vault, now)?,
        };
        Ok(Self { connection, vault, mark, _lock: lock })
    }

    /// What the move is called. A database that has no mark gets one: from now on no server opens it.
    pub fn begin(&mut self) -> Result<[u8; 16], OpenError> {
        let mark = match self.mark {
            Some(mark) => mark,
            None => mark::begin(&self.connection)?,
        };
        self.mark = Some(mark);
        Ok(mark.id)
    }

    /// Whether a move of it had begun before.
    pub const fn has_begun(&self) -> bool {
        self.mark.is_some()
    }

    /// Whether all of it is somewhere else.
    pub fn is_over(&self) -> bool {
        self.mark.is_some_and(|mark| mark.is_over)
    }

    /// All of it is somewhere else now.
    pub fn finish(&self) -> Result<(), OpenError> {
        Ok(mark::finish(&self.connection)?)
    }

    /// Nothing of it is: it may be used again.
    pub fn forget(&mut self) -> Result<(), OpenError> {
        mark::take_back(&self.connection)?;
        self.mark = None;
        Ok(())
    }

    /// The same for any database. Returns whether it was marked.
    pub fn take_back(path: &Path, key_file: &Path) -> Result<bool, OpenError> {
        let (connection, _, _lock) = unlocked(path, key_file)?;
        Ok(mark::take_back(&connection)?)
    }

    /// The same for two stores that are sealed with one key, and tells nothing of it.
    pub fn fingerprint(&self) -> [u8; 16] {
        self.vault.blind("moving", &[])
    }

    /// How many rows a table has.
    pub fn count(&self, table: Table) -> Result<u64, OpenError> {
        let sql = format!("SELECT COUNT(*) FROM {}", select::name(table));
        let count: i64 = self.connection.query_row(&sql, [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// The greatest number a row of a table ever had, where none is to have it again.
    pub fn greatest(&self, table: Table) -> Result<Option<i64>, OpenError> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
        let found = self.connection.query_row(sql, [select::name(table)], |row| row.get(0));
        Ok(found.optional()?)
    }

    /// The next rows of a table.
    pub fn page(&self, table: Table, after: Option<&[u8]>) -> Result<Page, OpenError> {
        let limit = i64::try_from(table.page_rows()).unwrap_or(i64::MAX);
        let (mut values, mut from) = (vec![Value::Integer(limit)], From::Start);
        if let Some(after) = after {
            from = From::Place;
            values.extend(unpack(after).ok_or_else(unreadable)?.into_iter().map(value));
        }
        let sql = select::page(table, from);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let (mut page, keys) = (Page::default(), select::keys_count(table));
        while let Some(row) = rows.next()? {
            let place = (0..keys).map(|column| cell(row.get_ref(column)?, column));
            page.reached = pack(&place.collect::<rusqlite::Result<Vec<Cell>>>()?);
            page.rows.push(self.read(table, row)?);
        }
        Ok(page)
    }

    /// Reads a row, and opens what is sealed.
    fn read(&self, table: Table, row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        let keys = select::keys_count(table);
        let mut cells = Row::with_capacity(table.columns().len());
        for ((_, kind), column) in table.columns().iter().zip(keys..) {
            let stored = cell(row.get_ref(column)?, column)?;
            let has_set = table.place_of("set_id").and_then(|place| cells.get(place));
            let purpose = match kind {
                Kind::Token => Some(Purpose::Token),
                Kind::Key => Some(Purpose::Key),
                Kind::Content => Some(Purpose::Content),
                Kind::Targets if has_set != Some(&Cell::Null) => Some(Purpose::Targets),
                _ => None,
            };
            cells.push(match (purpose, stored) {
                (Some(purpose), Cell::Bytes(sealed)) => {
                    let opened = self.vault.open(purpose, &sealed);
                    Cell::Bytes(opened.ok_or_else(|| misfit(column))?)
                }
                (_, stored) => stored,
            });
        }
        Ok(cells)
    }
}

/// Opens a database that is there, with its key, for this process alone.
fn unlocked(path: &Path, key_file: &Path) -> Result<(Connection, Vault, File), OpenError> {
    // Opening would make one.
    path.metadata()?;
    let lock = lock(path)?;
    let mut connection = connect(path)?;
    migrate_push(&mut connection)?;
    let vault = unlock(&mut connection, key_file)?;
    Ok((connection, vault, lock))
}

/// Puts right what the process before left behind, as any start does.
fn recovered(
    connection: Connection,
    vault: &Arc<Vault>,
    now: Timestamp,
) -> Result<Connection, OpenError> {
    let Waiting { by_head, twins } = find_waiting(&connection)?;
    let mut tables = Tables::load(connection, Arc::clone(vault), by_head)?;
    tables.recover(&twins, now)?;
    Ok(tables.connection)
}

fn cell(stored: ValueRef<'_>, column: usize) -> rusqlite::Result<Cell> {
    match stored {
        ValueRef::Null => Ok(Cell::Null),
        ValueRef::Integer(number) => Ok(Cell::Number(number)),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Cell::Bytes(bytes.to_vec())),
        ValueRef::Real(_) => Err(misfit(column)),
    }
}

fn value(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Number(number) => Value::Integer(number),
        Cell::Bytes(bytes) => Value::Blob(bytes),
    }
}

fn unreadable() -> StoreError {
    StoreError::Corrupt("how far the move came cannot be read".to_owned())
}
