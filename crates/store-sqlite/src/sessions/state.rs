//! What commands of the session store work on.

use reveille_model::Namespace;
use reveille_store::{StoreError, Usage};
use rusqlite::{Connection, params};

use crate::codec::{misfit, store_error};
use crate::engine::State;

/// Statements kept prepared.
const STATEMENTS_MAX: usize = 32;

/// The connection, and how much each namespace holds.
#[derive(Debug)]
pub(super) struct Shelves {
    pub(super) connection: Connection,
    counted: Vec<Counted>,
}

/// A namespace.
#[derive(Debug)]
struct Counted {
    id: i64,
    name: Namespace,
    usage: Usage,
    /// As it is in the table.
    written: Usage,
}

impl Shelves {
    /// Reads how much there is.
    pub(super) fn load(connection: Connection) -> Result<Self, StoreError> {
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let mut shelves = Self { connection, counted: Vec::new() };
        shelves.reload()?;
        Ok(shelves)
    }

    /// The number of a namespace, given on first sight, and how much it holds.
    pub(super) fn namespace(&mut self, name: &Namespace) -> (i64, Usage) {
        if let Some(counted) = self.counted.iter().find(|counted| counted.name == *name) {
            return (counted.id, counted.usage);
        }
        let id = self.counted.iter().map(|counted| counted.id).max().unwrap_or(0) + 1;
        let (usage, written) = (Usage::default(), Usage::default());
        self.counted.push(Counted { id, name: name.clone(), usage, written });
        (id, usage)
    }

    /// An entry of so many bytes came.
    pub(super) fn came(&mut self, namespace: i64, bytes: u64) {
        if let Some(counted) = self.counted.iter_mut().find(|counted| counted.id == namespace) {
            counted.usage.entries += 1;
            counted.usage.bytes += bytes;
        }
    }

    /// An entry of so many bytes went.
    pub(super) fn went(&mut self, namespace: i64, bytes: u64) {
        if let Some(counted) = self.counted.iter_mut().find(|counted| counted.id == namespace) {
            counted.usage.entries = counted.usage.entries.saturating_sub(1);
            counted.usage.bytes = counted.usage.bytes.saturating_sub(bytes);
        }
    }

    /// How much each namespace holds.
    pub(super) fn usage(&self) -> Vec<(Namespace, Usage)> {
        self.counted.iter().map(|counted| (counted.name.clone(), counted.usage)).collect()
    }
}

/// A command counts what it has changed when nothing of it can fail any more: one that fails leaves nothing to be put back.
impl State for Shelves {
    type Kept = ();

    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn kept(&self) {}

    fn put_back(&mut self, (): ()) {}

    fn command_done(&mut self) -> rusqlite::Result<()> {
        Ok(())
    }

    fn before_commit(&mut self) -> rusqlite::Result<()> {
        for counted in &self.counted {
            if counted.usage != counted.written {
                let Usage { entries, bytes } = counted.usage;
                self.connection
                    .prepare_cached(concat!(
                        "INSERT INTO namespaces (id, name, entries, bytes) VALUES (?1, ?2, ?3, ?4)",
                        " ON CONFLICT (id) DO UPDATE SET entries = excluded.entries, bytes = excluded.bytes"
                    ))?
                    .execute(params![counted.id, counted.name.as_str(), entries, bytes])?;
            }
        }
        Ok(())
    }

    fn committed(&mut self) {
        for counted in &mut self.counted {
            counted.written = counted.usage;
        }
    }

    fn undo(&mut self) {
        self.counted.clear();
    }

    fn reload(&mut self) -> Result<(), StoreError> {
        let read = || -> rusqlite::Result<Vec<Counted>> {
            let sql = "SELECT id, name, entries, bytes FROM namespaces";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                let name = Namespace::parse(row.get_ref(1)?.as_str()?).map_err(|_| misfit(1))?;
                let usage = Usage { entries: row.get(2)?, bytes: row.get(3)? };
                Ok(Counted { id: row.get(0)?, name, usage, written: usage })
            })?;
            rows.collect()
        };
        self.counted = read().map_err(|error| store_error(&error))?;
        Ok(())
    }
}
