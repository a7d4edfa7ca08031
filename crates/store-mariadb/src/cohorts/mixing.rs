//! How devices are mixed, and what it takes to begin.

use std::collections::BTreeSet;

use reveille_model::{CohortSizes, User};
use reveille_store::Mix;
use reveille_store::tables::Mixing as Kinds;
use reveille_vault::BlindKey;

use crate::codec::{flag, number, user};
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::statement::query;

/// Users enrolled in one transaction, and cohorts looked after.
const STEP: i64 = 500;
/// The key names are hashed with, in the table of keys.
pub(super) const MEMBERS_KEY: &str = "members";

/// How devices are mixed, and what members are called.
#[derive(Debug)]
pub(crate) struct Mixing {
    pub(crate) kinds: Kinds,
    /// Hashes the names of members. Not changed with the vault's key: of a ghost there is nothing but its hash.
    names: BlindKey,
}

impl Mixing {
    pub(super) fn new(mix: &Mix, silent: BTreeSet<i64>, names: BlindKey) -> Self {
        Self { kinds: Kinds::new(mix, silent), names }
    }

    /// What a member is found by.
    pub(super) fn key(&self, user: &User) -> [u8; 16] {
        self.names.blind(user.expose().as_bytes())
    }
}

/// From where on users are to be enrolled: those with devices after the first name, then members after the second number.
pub(super) type From = (Option<Vec<u8>>, i64);

/// Takes note of how devices are mixed. Returns from where on users are to be enrolled, if they are.
pub(super) async fn note(
    tables: &mut Tables<'_>,
    (silent, sizes): &(BTreeSet<i64>, Option<CohortSizes>),
) -> Done<Option<From>> {
    let is_on = sizes.is_some();
    tables.take_members_turn().await?;
    let mut before = BTreeSet::new();
    for row in tables.all(query("SELECT id FROM credential_sets WHERE silent")).await? {
        before.insert(number(&row, 0)?);
    }
    for id in before.symmetric_difference(silent) {
        let update = query("UPDATE credential_sets SET silent = ? WHERE id = ?");
        tables.execute(update.bind(silent.contains(id)).bind(id)).await?;
    }
    let row =
        tables.one(query("SELECT cohorts, enrolled FROM state")).await?.ok_or_else(corrupt)?;
    let (was_on, was_enrolled) = (flag(&row, 0)?, flag(&row, 1)?);
    if !is_on {
        // Nobody decides any more, and nothing accepted may be lost.
        tables.execute(query("UPDATE marks SET leaves = 1 WHERE leaves = 0")).await?;
    }
    let is_enrolled = was_on && was_enrolled && before == *silent;
    let update = query("UPDATE state SET cohorts = ?, enrolled = ?");
    tables.execute(update.bind(is_on).bind(is_on && is_enrolled)).await?;
    Ok((is_on && !is_enrolled).then_some((Some(Vec::new()), 0)))
}

/// Brings some users to where they belong, who were not watched before. Returns from where on to go on.
pub(super) async fn enrol_some(tables: &mut Tables<'_>, from: &From) -> Done<Option<From>> {
    tables.take_members_turn().await?;
    let next = match from {
        (Some(after), _) => {
            let select = query(concat!(
                "SELECT DISTINCT user_name FROM subscriptions WHERE user_name > ?",
                " ORDER BY user_name LIMIT ?"
            ));
            let rows = tables.all(select.bind(after.as_slice()).bind(STEP)).await?;
            let mut last = None;
            for row in &rows {
                let user = user(row, 0)?;
                last = Some(user.expose().as_bytes().to_vec());
                tables.has_changed(&user);
            }
            Some((last, 0))
        }
        (None, after) => {
            let select = query(concat!(
                "SELECT id, user_name FROM members WHERE id > ? AND user_name IS NOT NULL",
                " ORDER BY id LIMIT ?"
            ));
            let rows = tables.all(select.bind(after).bind(STEP)).await?;
            let mut last = None;
            for row in &rows {
                last = Some(number(row, 0)?);
                tables.has_changed(&user(row, 1)?);
            }
            last.map(|last| (None, last))
        }
    };
    if next.is_none() {
        tables.execute(query("UPDATE state SET enrolled = 1")).await?;
    }
    Ok(next)
}

/// Retires some cohorts that are spent since their sizes are others. Returns whether there may be more.
pub(super) async fn look_after_some(tables: &mut Tables<'_>) -> Done<bool> {
    let Some(sizes) = tables.cohort_sizes() else { return Ok(false) };
    tables.take_members_turn().await?;
    let select = query(concat!(
        "SELECT id FROM cohorts WHERE standing = 1 AND (live < ? OR (live = ? AND live < formed))",
        " UNION SELECT id FROM cohorts WHERE standing = 2 AND live < ? LIMIT ?"
    ));
    let floor = i64::try_from(sizes.floor).unwrap_or(i64::MAX);
    let rows = tables.all(select.bind(floor).bind(floor).bind(floor).bind(STEP)).await?;
    for row in &rows {
        tables.look_after(number(row, 0)?).await?;
    }
    Ok(!rows.is_empty())
}
