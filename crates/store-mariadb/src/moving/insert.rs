//! Writing rows that came from elsewhere, in the transaction that notes how far that came.

use reveille_model::CredentialSet;
use reveille_store::moving::{COUNTS, Cell, Kind, Row, Table};
use reveille_vault::Vault;
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};

use super::{select, stored};
use crate::engine::Sets;
use crate::error::{Done, corrupt};
use crate::rows::{chunks, listing};
use crate::statement::{Query, query};

/// Rows of one table, as they are written.
pub(super) struct Insert {
    table: &'static str,
    columns: Vec<&'static str>,
    /// What stands for a row.
    item: String,
    rows: Vec<Row>,
}

pub(super) fn bind(query: Query, cell: &Cell) -> Query {
    match cell {
        Cell::Null => query.bind(None::<i64>),
        Cell::Number(number) => query.bind(*number),
        Cell::Bytes(bytes) => query.bind(bytes.clone()),
    }
}

impl Insert {
    fn new(table: Table) -> Self {
        let made = stored::made(table);
        let columns = table.columns().iter().map(|(name, _)| *name);
        let mut columns: Vec<&str> = columns.filter(|name| !made.contains(name)).collect();
        columns.extend(made);
        if table == Table::Trails {
            columns.truncate(columns.len() - COUNTS);
        }
        let mut item = vec!["?"; columns.len()];
        // What is the same of all rows, or made by the database.
        let more: &[(&str, &str)] = match table {
            Table::Wakeups => &[("part", "0")],
            Table::Strata => &[("name_hash", "UNHEX(SHA2(?, 256))")],
            Table::Releases => &[("one", "1"), ("node", "REPEAT(x'00', 16)"), ("seen_at", "0")],
            _ => &[],
        };
        columns.extend(more.iter().map(|(name, _)| name));
        item.extend(more.iter().map(|(_, value)| value));
        let item = format!("({})", item.join(", "));
        Self { table: select::name(table), columns, item, rows: Vec::new() }
    }

    /// What is written of rows of a table into another one.
    fn beside(table: Table) -> Option<Self> {
        let (name, columns) = match table {
            // All counts are in one lane.
            Table::Trails => {
                let names = table.columns().iter().map(|(name, _)| *name);
                let counts = names.skip(table.columns().len() - COUNTS);
                ("trail_counts", ["trail", "lane"].into_iter().chain(counts).collect())
            }
            Table::Wakeups => ("held_wakeups", vec!["wakeup", "token_key"]),
            _ => return None,
        };
        let item = format!("({})", vec!["?"; columns.len()].join(", "));
        Some(Self { table: name, columns, item, rows: Vec::new() })
    }

    async fn execute(&self, connection: &mut MySqlConnection) -> Done<()> {
        for part in chunks(&self.rows) {
            let sql =
                format!("INSERT INTO {} ({}) VALUES {{}}", self.table, self.columns.join(", "));
            let mut insert = query(listing(&sql, &self.item, part.len()));
            for cell in part.iter().flatten() {
                insert = bind(insert, cell);
            }
            insert.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// What is to be written of a page. Credential sets get their numbers first, outside of any transaction.
pub(super) async fn prepare(
    (table, rows): (Table, &[Row]),
    vault: &Vault,
    (sets, pool): (&Sets, &MySqlPool),
) -> Done<Vec<Insert>> {
    let (mut insert, mut beside) = (Insert::new(table), Insert::beside(table));
    let made = stored::made(table);
    for row in rows {
        let mut cells = Row::with_capacity(insert.columns.len());
        for ((name, kind), cell) in table.columns().iter().zip(row) {
            match (kind, cell) {
                _ if made.contains(name) => {}
                (Kind::Set, Cell::Bytes(set)) => {
                    cells.push(Cell::Number(set_id(set, (sets, pool)).await?));
                }
                _ => cells.push(stored::to_store((table, row), *kind, cell, vault)),
            }
        }
        cells.extend(stored::make((table, row), vault)?);
        if let Some(beside) = &mut beside {
            beside.rows.extend(beside_row(table, &mut cells));
        }
        if table == Table::Strata {
            // Its name is hashed.
            cells.extend(row.get(1).cloned());
        }
        insert.rows.push(cells);
    }
    Ok(std::iter::once(insert).chain(beside).collect())
}

/// What is written of a row into another table.
fn beside_row(table: Table, cells: &mut Row) -> Option<Row> {
    let id = cells.first()?.clone();
    if table == Table::Trails {
        let counts = cells.split_off(cells.len().saturating_sub(COUNTS));
        return Some([id, Cell::Number(stored::LANE)].into_iter().chain(counts).collect());
    }
    let held = cells.last().filter(|held| **held != Cell::Null)?;
    Some(vec![id, held.clone()])
}

async fn set_id(name: &[u8], (sets, pool): (&Sets, &MySqlPool)) -> Done<i64> {
    let set = std::str::from_utf8(name).ok().and_then(|name| CredentialSet::parse(name).ok());
    sets.id(pool, &set.ok_or_else(corrupt)?).await
}

pub(super) async fn execute(connection: &mut MySqlConnection, inserts: &[Insert]) -> Done<()> {
    for insert in inserts {
        insert.execute(connection).await?;
    }
    Ok(())
}

/// What concerns everybody is there already, and is as it was elsewhere from now on; all that was counted was counted in the first lane.
pub(super) async fn write_state(connection: &mut MySqlConnection, row: &[Cell]) -> Done<()> {
    let columns = Table::State.columns();
    let of_lane = columns.len().saturating_sub(COUNTS + 1);
    let (state, lane) = row.split_at_checked(of_lane).ok_or_else(corrupt)?;
    let (names, counts) = columns.split_at_checked(of_lane).ok_or_else(corrupt)?;
    let set = |columns: &[(&str, Kind)]| {
        let each: Vec<String> = columns.iter().map(|(name, _)| format!("{name} = ?")).collect();
        each.join(", ")
    };
    let sql = AssertSqlSafe(format!("UPDATE state SET {}", set(names)));
    let update = state.iter().fold(query(sql), bind);
    update.execute(&mut *connection).await?;
    let mustered = query("UPDATE state SET mustered_until = expanded_until");
    mustered.execute(&mut *connection).await?;
    let closed = query("UPDATE lanes SET closed_until = (SELECT closed_until FROM state)");
    closed.execute(&mut *connection).await?;
    let sql = AssertSqlSafe(format!("UPDATE lanes SET {} WHERE id = ?", set(counts)));
    let update = lane.iter().fold(query(sql), bind).bind(stored::LANE);
    update.execute(connection).await?;
    Ok(())
}
