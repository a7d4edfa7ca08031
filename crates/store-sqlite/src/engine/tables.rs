//! What a command sees: the connection inside a transaction, and what is kept in memory beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use reveille_model::{CredentialSet, Ledger, Provider, Timestamp, Token};
use reveille_store::tables::Plan;
use reveille_store::{StoreError, TokenKey};
use reveille_vault::Vault;
use rusqlite::Connection;

use super::journaled::Journaled;
use super::state::State;
use crate::codec::{credential_set, read_ledger, store_error, token_key};
use crate::cohorts::Mixing;
use crate::outbox::join_twins;

/// Statements kept prepared.
const STATEMENTS_MAX: usize = 144;

/// A wake-up in flight. Only the process that sends it knows: after a crash none is, and all of them are due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    pub(crate) until: Timestamp,
    pub(crate) set_id: i64,
    /// The head of its key, and its trail, so that ending it need not read it again.
    pub(crate) head: u64,
    pub(crate) trail: Option<i64>,
    /// The quarantined device that is tried with it.
    pub(crate) tries: Option<TokenKey>,
}

/// The connection, and what is known without asking it.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) connection: Connection,
    /// Seals tokens and finds them.
    pub(crate) vault: Arc<Vault>,
    /// Written back once per transaction.
    pub(crate) ledger: Ledger,
    /// As it is in the table.
    ledger_written: Ledger,
    /// Users and subscriptions that scheduled notifications name.
    pub(crate) scheduled: u64,
    /// Rows of `suspects`: with none there is nothing to look up.
    pub(crate) suspects: u64,
    /// Rows of `deaths`.
    pub(crate) deaths: u64,
    /// Rows of `preferences`.
    pub(crate) preferences: u64,
    /// The id of the next gathered row. No id is ever given twice, so that what came before a user looked can be told.
    pub(crate) gathered_next: i64,
    pub(crate) closed_until: i64,
    /// Up to here everything closed was wholly expanded.
    pub(crate) expanded_until: i64,
    /// Up to here it is decided which cohorts leave. Not written: after a start it is decided anew of what has not left.
    pub(crate) mustered_until: i64,
    pub(crate) sets: BTreeMap<CredentialSet, i64>,
    /// The wake-ups in flight, by id.
    pub(crate) leases: Journaled<i64, Lease>,
    /// Which wake-up waits for a device: by the first eight bytes of its key the id of the one that was made or came back last. It may be in
    /// flight; every wake-up that is not has its entry. Some 20 bytes a wake-up, and the reason why ending one touches no index at random.
    pub(crate) waiting: Journaled<u64, i64>,
    /// Per credential set: nothing that is due and not in flight stands before this due time and sort key. Moved on by a claim that succeeded.
    pub(crate) cursors: BTreeMap<i64, (i64, i64)>,
    /// What is left of the release under way; nothing where it is to be planned anew. Taken by each step, and put back if it succeeded.
    pub(crate) plan: Option<Plan>,
    /// Where the last sweep stopped looking for expired wake-ups.
    pub(crate) swept_until: i64,
    /// When suspects were last looked through.
    pub(crate) suspects_swept_at: i64,
    /// How devices are mixed; nothing before that was said.
    pub(crate) mixing: Option<Mixing>,
    /// What was not whole of cohorts: see `Census::partial`.
    pub(crate) partial: u64,
}

impl Tables {
    /// Reads what is kept in memory. `waiting` is what [`crate::outbox::find_waiting`] found.
    pub(crate) fn load(
        connection: Connection,
        vault: Arc<Vault>,
        waiting: BTreeMap<u64, i64>,
    ) -> Result<Self, StoreError> {
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let mut tables = Self {
            connection,
            vault,
            ledger: Ledger::default(),
            ledger_written: Ledger::default(),
            scheduled: 0,
            suspects: 0,
            deaths: 0,
            preferences: 0,
            gathered_next: 1,
            closed_until: 0,
            expanded_until: 0,
            mustered_until: 0,
            sets: BTreeMap::new(),
            leases: Journaled::new(BTreeMap::new()),
            waiting: Journaled::new(waiting),
            cursors: BTreeMap::new(),
            plan: None,
            swept_until: 0,
            suspects_swept_at: 0,
            mixing: None,
            partial: 0,
        };
        tables.reload()?;
        Ok(tables)
    }

    /// Puts right what the process before left behind, in a transaction of its own.
    pub(crate) fn recover(&mut self, twins: &[(i64, i64)], now: Timestamp) -> rusqlite::Result<()> {
        self.batch("BEGIN IMMEDIATE")?;
        self.reopen_future_windows(now)?;
        join_twins(self, twins)?;
        self.write_ledger()?;
        self.batch("COMMIT")?;
        self.committed();
        Ok(())
    }

    /// The id of a row to be gathered.
    pub(crate) fn next_gathered(&mut self) -> i64 {
        self.gathered_next += 1;
        self.gathered_next - 1
    }

    pub(crate) fn write_ledger(&self) -> rusqlite::Result<()> {
        let Ledger { accepted, waiting, collapsed, settled } = self.ledger;
        let [done, dead, expired, cancelled, payload_error, dry_run, limited] = settled;
        self.connection
            .prepare_cached(concat!(
                "UPDATE state SET accepted = ?1, waiting = ?2, collapsed = ?3, settled_sent = ?4,",
                " settled_dead = ?5, settled_expired = ?6, settled_cancelled = ?7,",
                " settled_payload_error = ?8, settled_dry_run = ?9, settled_limited = ?10"
            ))?
            .execute(
                [
                    accepted,
                    waiting,
                    collapsed,
                    done,
                    dead,
                    expired,
                    cancelled,
                    payload_error,
                    dry_run,
                    limited,
                ]
                .map(u64::cast_signed),
            )?;
        Ok(())
    }

    /// What a token is found by.
    pub(crate) fn token_key(&self, provider: Provider, token: &Token) -> TokenKey {
        token_key(&self.vault, provider, token)
    }

    /// The number of a credential set, given on first sight.
    pub(crate) fn set_id(&mut self, set: &CredentialSet) -> rusqlite::Result<i64> {
        if let Some(id) = self.sets.get(set) {
            return Ok(*id);
        }
        let name = set.to_string();
        self.connection
            .prepare_cached(
                "INSERT INTO credential_sets (name) VALUES (?1) ON CONFLICT DO NOTHING",
            )?
            .execute([&name])?;
        let id = self
            .connection
            .prepare_cached("SELECT id FROM credential_sets WHERE name = ?1")?
            .query_row([&name], |row| row.get(0))?;
        self.sets.insert(set.clone(), id);
        Ok(id)
    }

    /// The credential set of a number.
    pub(crate) fn set_of(&mut self, id: i64) -> rusqlite::Result<CredentialSet> {
        if let Some((set, _)) = self.sets.iter().find(|(_, known)| **known == id) {
            return Ok(set.clone());
        }
        let set = self
            .connection
            .prepare_cached("SELECT name FROM credential_sets WHERE id = ?1")?
            .query_row([id], |row| credential_set(row, 0))?;
        self.sets.insert(set.clone(), id);
        Ok(set)
    }

    /// Something became due at a place in the order; a claim must look there again.
    pub(crate) fn lower_cursor(&mut self, set_id: i64, place: (i64, i64)) {
        if let Some(cursor) = self.cursors.get_mut(&set_id) {
            *cursor = place.min(*cursor);
        }
    }

    fn batch(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

impl State for Tables {
    type Kept = Kept;

    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn kept(&self) -> Kept {
        Kept {
            ledger: self.ledger,
            scheduled: self.scheduled,
            suspects: self.suspects,
            deaths: self.deaths,
            preferences: self.preferences,
            closed_until: self.closed_until,
            expanded_until: self.expanded_until,
            mustered_until: self.mustered_until,
            leases: self.leases.mark(),
            waiting: self.waiting.mark(),
            partial: self.partial,
        }
    }

    fn put_back(&mut self, kept: Kept) {
        let Kept { ledger, scheduled, suspects, deaths, .. } = kept;
        (self.ledger, self.scheduled, self.suspects) = (ledger, scheduled, suspects);
        (self.deaths, self.preferences) = (deaths, kept.preferences);
        (self.closed_until, self.expanded_until) = (kept.closed_until, kept.expanded_until);
        self.mustered_until = kept.mustered_until;
        self.partial = kept.partial;
        self.leases.undo_to(kept.leases);
        self.waiting.undo_to(kept.waiting);
        self.sets.clear();
    }

    fn command_done(&mut self) -> rusqlite::Result<()> {
        self.enrol_changed()
    }

    fn before_commit(&mut self) -> rusqlite::Result<()> {
        if self.ledger == self.ledger_written { Ok(()) } else { self.write_ledger() }
    }

    fn committed(&mut self) {
        self.ledger_written = self.ledger;
        self.leases.commit();
        self.waiting.commit();
    }

    fn undo(&mut self) {
        self.leases.undo_to(0);
        self.waiting.undo_to(0);
        self.cursors.clear();
        self.plan = None;
    }

    fn reload(&mut self) -> Result<(), StoreError> {
        (self.ledger, self.closed_until, self.expanded_until) = self
            .connection
            .prepare_cached(concat!(
                "SELECT accepted, waiting, collapsed, settled_sent, settled_dead, settled_expired,",
                " settled_cancelled, settled_payload_error, settled_dry_run, settled_limited, closed_until, expanded_until FROM state"
            ))
            .and_then(|mut read| read.query_row([], |row| Ok((read_ledger(row, 0)?, row.get(10)?, row.get(11)?))))
            .map_err(|error| store_error(&error))?;
        let last_gathered: i64;
        (self.scheduled, self.suspects, self.deaths, self.preferences, last_gathered) = self
            .connection
            .prepare_cached(concat!(
                "SELECT (SELECT COALESCE(SUM(named), 0) FROM scheduled),",
                " (SELECT COUNT(*) FROM suspects), (SELECT COUNT(*) FROM deaths),",
                " (SELECT COUNT(*) FROM preferences),",
                " (SELECT MAX(fetched_until, COALESCE((SELECT MAX(id) FROM gathered), 0)) FROM state)"
            ))
            .and_then(|mut read| {
                read.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
            })
            .map_err(|error| store_error(&error))?;
        self.ledger_written = self.ledger;
        self.mustered_until = self.expanded_until;
        self.gathered_next = self.gathered_next.max(last_gathered + 1);
        self.sets.clear();
        Ok(())
    }
}

/// What of [`Tables`] goes back, as it was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    ledger: Ledger,
    scheduled: u64,
    suspects: u64,
    deaths: u64,
    preferences: u64,
    closed_until: i64,
    expanded_until: i64,
    mustered_until: i64,
    leases: usize,
    waiting: usize,
    partial: u64,
}
