//! What becomes of a row here: its credential set has a number, what is secret is sealed with our key, and what it is found by is made of it.

use reveille_model::{CredentialSet, DryRun, MessageType, Token, Topic};
use reveille_store::moving::{Cell, Kind, Row, Table, pack};
use reveille_store::tables::{pack_numbers, unpack_numbers};
use reveille_store::{TokenKey, WakeupKey};
use reveille_vault::{Purpose, Vault};
use sqlx::mysql::MySqlRow;

use super::select;
use crate::codec::{Read, misfit, optional_bytes, optional_number, token_key};
use crate::error::{Done, corrupt};
use crate::outbox::place;

/// The lane that all gathered rows come to stand in.
pub(super) const LANE: i64 = 0;

/// The columns that are made of others. Where they are columns of the row, too, those only say what to make them of.
pub(super) const fn made(table: Table) -> &'static [&'static str] {
    match table {
        Table::Subscriptions | Table::Unproven | Table::Suspects | Table::Deaths => &["token_key"],
        Table::Wakeups => &["wake_key", "waiting_key", "held"],
        _ => &[],
    }
}

/// A row with its columns at hand.
struct Named<'r> {
    table: Table,
    row: &'r [Cell],
}

impl<'r> Named<'r> {
    fn cell(&self, name: &str) -> Option<&'r Cell> {
        self.table.place_of(name).and_then(|place| self.row.get(place))
    }

    fn text(&self, name: &str) -> Done<Option<&'r str>> {
        match self.cell(name) {
            Some(Cell::Bytes(bytes)) => std::str::from_utf8(bytes).map(Some).map_err(|_| corrupt()),
            _ => Ok(None),
        }
    }

    fn set(&self) -> Done<CredentialSet> {
        let name = self.text("set_id")?.ok_or_else(corrupt)?;
        CredentialSet::parse(name).map_err(|_| corrupt())
    }

    /// What the token of a column is found by.
    fn token_key(&self, name: &str, vault: &Vault) -> Done<Option<TokenKey>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let provider = self.set()?.provider();
        let token = Token::parse(provider, text).map_err(|_| corrupt())?;
        Ok(Some(token_key(vault, provider, &token)))
    }

    /// What a wake-up is found by.
    fn wakeup_key(&self, vault: &Vault) -> Done<Cell> {
        if let Some(known @ Cell::Bytes(_)) = self.cell("wake_key") {
            return Ok(known.clone());
        }
        let key = self.token_key("token", vault)?.ok_or_else(corrupt)?;
        let topic = self.text("topic")?.map(Topic::parse).transpose().map_err(|_| corrupt())?;
        let kind = MessageType::parse(self.text("message_type")?.unwrap_or_default());
        let kind = kind.map_err(|_| corrupt())?;
        let is_dry = self.cell("dry_run") == Some(&Cell::Number(1));
        let dry_run = if is_dry { DryRun::Yes } else { DryRun::No };
        Ok(bytes_of(WakeupKey::for_token(key, topic.as_ref(), &kind, dry_run).0))
    }
}

fn bytes_of(key: [u8; 16]) -> Cell {
    Cell::Bytes(key.to_vec())
}

/// The values of the columns that are made of others.
pub(super) fn make((table, row): (Table, &[Cell]), vault: &Vault) -> Done<Vec<Cell>> {
    let named = Named { table, row };
    let cell = |key: Option<TokenKey>| key.map_or(Cell::Null, |key| bytes_of(key.0));
    Ok(match table {
        Table::Wakeups => {
            let key = named.wakeup_key(vault)?;
            vec![key.clone(), key, cell(named.token_key("held", vault)?)]
        }
        _ if made(table).is_empty() => Vec::new(),
        _ => vec![cell(named.token_key("token", vault)?)],
    })
}

/// What is sealed of a column, and as what.
fn purpose(table: Table, row: &[Cell], kind: Kind) -> Option<Purpose> {
    match kind {
        Kind::Token => Some(Purpose::Token),
        Kind::Key => Some(Purpose::Key),
        Kind::Content => Some(Purpose::Content),
        Kind::Targets => {
            let set = table.place_of("set_id").and_then(|place| row.get(place));
            (set != Some(&Cell::Null)).then_some(Purpose::Targets)
        }
        Kind::Number | Kind::Bytes | Kind::Set | Kind::Fetched => None,
    }
}

/// A value as it is written, but for a credential set.
pub(super) fn to_store(
    (table, row): (Table, &[Cell]),
    kind: Kind,
    cell: &Cell,
    vault: &Vault,
) -> Cell {
    match (kind, purpose(table, row, kind), cell) {
        (_, Some(purpose), Cell::Bytes(plain)) => Cell::Bytes(vault.seal(purpose, plain)),
        (Kind::Fetched, _, Cell::Number(0)) => Cell::Bytes(Vec::new()),
        (Kind::Fetched, _, Cell::Number(number)) => {
            Cell::Bytes(pack_numbers(std::iter::once(place(LANE, *number))))
        }
        (_, _, cell) => cell.clone(),
    }
}

/// A row that was read, opened: where it stands, and its values, with those that are made of others behind them.
pub(super) fn read(table: Table, row: &MySqlRow, vault: &Vault) -> Read<(Vec<Cell>, Row)> {
    let keys = select::keys(table);
    let mut stands = Vec::with_capacity(keys.len());
    for (column, (_, kind)) in keys.iter().enumerate() {
        stands.push(cell(row, column, *kind)?);
    }
    let mut cells = Row::new();
    let mut column = keys.len();
    for (_, kind) in table.columns() {
        let stored = cell(row, column, *kind)?;
        cells.push(opened((table, &cells), *kind, stored, vault).ok_or_else(|| misfit(column))?);
        column += 1;
    }
    for _ in made(table) {
        cells.push(cell(row, column, Kind::Bytes)?);
        column += 1;
    }
    Ok((stands, cells))
}

fn cell(row: &MySqlRow, column: usize, kind: Kind) -> Read<Cell> {
    Ok(match kind {
        Kind::Number => optional_number(row, column)?.map_or(Cell::Null, Cell::Number),
        _ => optional_bytes(row, column)?.map_or(Cell::Null, Cell::Bytes),
    })
}

fn opened((table, row): (Table, &[Cell]), kind: Kind, stored: Cell, vault: &Vault) -> Option<Cell> {
    match (kind, purpose(table, row, kind), stored) {
        (_, Some(purpose), Cell::Bytes(sealed)) => vault.open(purpose, &sealed).map(Cell::Bytes),
        (Kind::Fetched, _, Cell::Bytes(packed)) => {
            Some(Cell::Number(unpack_numbers(&packed)?.first().copied().unwrap_or_default()))
        }
        (_, _, stored) => Some(stored),
    }
}

/// The hash of a row with what is made of it.
pub(super) fn hash(table: Table, row: &[Cell], vault: &Vault) -> [u8; 16] {
    vault.blind("moved", &[table.as_str().as_bytes(), &pack(row)])
}
