//! How devices are mixed, and what it takes to begin.

use std::collections::BTreeSet;

use reveille_model::{CohortSizes, Mixed, User};
use reveille_store::tables::{Kind, Mixing as Kinds};
use reveille_store::{Mix, StoreError};
use reveille_vault::BlindKey;
use rusqlite::params;

use crate::codec::store_error;
use crate::engine::Tables;

/// Users enrolled in one transaction, and cohorts looked after.
const STEP: i64 = 500;
/// The key names are hashed with, in the table of keys.
const MEMBERS_KEY: &str = "members";

/// How devices are mixed, and what members are called.
#[derive(Debug)]
pub(crate) struct Mixing {
    pub(crate) kinds: Kinds,
    /// Hashes the names of members. Not changed with the vault's key: of a ghost there is nothing but its hash.
    names: BlindKey,
}

impl Mixing {
    /// What a member is found by.
    pub(super) fn key(&self, user: &User) -> [u8; 16] {
        self.names.blind(user.expose().as_bytes())
    }
}

impl Tables {
    /// How a device of a credential set is mixed.
    pub(crate) fn mixed(&self, kind: Kind) -> Mixed {
        self.mixing.as_ref().map_or(Mixed::Batch, |mixing| mixing.kinds.of(kind))
    }

    /// Where users are woken in cohorts: how large those are.
    pub(crate) fn cohort_sizes(&self) -> Option<CohortSizes> {
        self.mixing.as_ref().and_then(|mixing| mixing.kinds.sizes)
    }
}

/// From where on users are to be enrolled: those with devices after the first name, then members after the second number.
pub(super) type From = (Option<String>, i64);

/// Takes note of how devices are mixed. Returns from where on users are to be enrolled, if they are.
pub(super) fn mix(tables: &mut Tables, mix: &Mix) -> Result<Option<From>, StoreError> {
    let sql = |error: rusqlite::Error| store_error(&error);
    let mut silent = BTreeSet::new();
    for set in &mix.silent {
        silent.insert(tables.set_id(set).map_err(sql)?);
    }
    let names = BlindKey::new(&tables.key(MEMBERS_KEY, BlindKey::fresh())?);
    tables.mixing = Some(Mixing { kinds: Kinds::new(mix, silent.clone()), names });
    note(tables, &silent, mix.sizes).map_err(sql)
}

fn note(
    tables: &Tables,
    silent: &BTreeSet<i64>,
    sizes: Option<CohortSizes>,
) -> rusqlite::Result<Option<From>> {
    let is_on = sizes.is_some();
    let connection = &tables.connection;
    let before: BTreeSet<i64> = connection
        .prepare("SELECT id FROM credential_sets WHERE silent")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in before.symmetric_difference(silent) {
        connection.execute(
            "UPDATE credential_sets SET silent = ?2 WHERE id = ?1",
            params![id, silent.contains(id)],
        )?;
    }
    let (was_on, was_enrolled): (bool, bool) =
        connection.query_row("SELECT cohorts, enrolled FROM state", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if !is_on {
        // Nobody decides any more, and nothing accepted may be lost.
        connection.execute("UPDATE marks SET leaves = 1", [])?;
    }
    let is_enrolled = was_on && was_enrolled && before == *silent;
    connection
        .execute("UPDATE state SET cohorts = ?1, enrolled = ?2", [is_on, is_on && is_enrolled])?;
    Ok((is_on && !is_enrolled).then_some((Some(String::new()), 0)))
}

/// Brings some users to where they belong, who were not watched before. Returns from where on to go on.
pub(super) fn enrol_some(tables: &mut Tables, from: &From) -> rusqlite::Result<Option<From>> {
    let connection = &tables.connection;
    let next = match from {
        (Some(after), _) => {
            let users: Vec<String> = connection
                .prepare_cached(concat!(
                    "SELECT DISTINCT user_name FROM subscriptions WHERE user_name > ?1",
                    " ORDER BY user_name LIMIT ?2"
                ))?
                .query_map(params![after, STEP], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let last = users.last().cloned();
            note_changed(tables, &users)?;
            Some((last, 0))
        }
        (None, after) => {
            let members: Vec<(i64, String)> = connection
                .prepare_cached(concat!(
                    "SELECT id, user_name FROM members WHERE id > ?1 AND user_name IS NOT NULL",
                    " ORDER BY id LIMIT ?2"
                ))?
                .query_map(params![after, STEP], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let last = members.last().map(|(id, _)| *id);
            let users: Vec<String> = members.into_iter().map(|(_, user)| user).collect();
            note_changed(tables, &users)?;
            last.map(|last| (None, last))
        }
    };
    if next.is_none() {
        connection.execute("UPDATE state SET enrolled = 1", [])?;
    }
    Ok(next)
}

fn note_changed(tables: &Tables, users: &[String]) -> rusqlite::Result<()> {
    let mut insert = tables
        .connection
        .prepare_cached("INSERT INTO changed VALUES (?1) ON CONFLICT DO NOTHING")?;
    for user in users {
        insert.execute([user])?;
    }
    Ok(())
}

/// Retires some cohorts that are spent since their sizes are others. Returns whether there may be more.
pub(super) fn look_after_some(tables: &mut Tables) -> rusqlite::Result<bool> {
    let Some(sizes) = tables.cohort_sizes() else { return Ok(false) };
    let spent: Vec<i64> = tables
        .connection
        .prepare_cached(concat!(
            "SELECT id FROM cohorts WHERE standing = 1 AND (live < ?1 OR (live = ?1 AND live < formed))",
            " UNION SELECT id FROM cohorts WHERE standing = 2 AND live < ?1 LIMIT ?2"
        ))?
        .query_map(params![sizes.floor, STEP], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &spent {
        tables.look_after(*id)?;
    }
    Ok(!spent.is_empty())
}
