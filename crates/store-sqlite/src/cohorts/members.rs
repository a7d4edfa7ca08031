//! Who is in which cohort. Follows subscriptions, at the end of each command that changed some.

use std::collections::BTreeSet;

use reveille_model::{Mixed, Settled, SubscriptionId, Timestamp, User};
use reveille_store::TokenKey;
use rusqlite::{OptionalExtension as _, params};

use super::company::gather;
use super::mixing::Kind;
use crate::codec;
use crate::engine::Tables;
use crate::outbox::Change;

/// The standing of a cohort.
pub(super) const PROVISIONAL: i64 = 0;
pub(super) const ACTIVE: i64 = 1;
pub(super) const SURVIVORS: i64 = 2;

/// A user in a cohort.
#[derive(Debug, Clone, Copy)]
struct Member {
    id: i64,
    cohort: i64,
    is_ghost: bool,
    /// Of the cohort.
    stratum: i64,
    standing: i64,
}

impl Tables {
    /// Brings those users to where they belong whose devices have changed.
    pub(crate) fn enrol_changed(&mut self) -> rusqlite::Result<()> {
        if self.cohort_sizes().is_none() {
            return Ok(());
        }
        let changed: Vec<User> = self
            .connection
            .prepare_cached("SELECT user_name FROM changed")?
            .query_map([], |row| codec::user(row, 0))?
            .collect::<rusqlite::Result<_>>()?;
        if changed.is_empty() {
            return Ok(());
        }
        self.connection.prepare_cached("DELETE FROM changed")?.execute([])?;
        let mut left = BTreeSet::new();
        for user in changed {
            left.extend(self.enrol(&user)?);
        }
        // Only when everybody is where they belong: whoever left one cohort may have come to another.
        for cohort in left {
            self.look_after(cohort)?;
        }
        Ok(())
    }

    /// Brings one user to where they belong. Returns the cohort they left, if they did.
    fn enrol(&mut self, user: &User) -> rusqlite::Result<Option<i64>> {
        let Some(key) = self.mixing.as_ref().map(|mixing| mixing.key(user)) else {
            return Ok(None);
        };
        let stratum = self.stratum_of(user)?;
        let members = self.memberships(key)?;
        let live = members.iter().find(|member| !member.is_ghost);
        if live.map(|live| live.stratum) == stratum {
            return Ok(None);
        }
        if let Some(live) = live {
            self.leave(live, user)?;
        }
        if stratum.is_none()
            && let Some(live) = live
        {
            self.wake_alone(user, live.cohort)?;
        }
        if let Some(stratum) = stratum {
            // Whoever comes back takes the place of their ghost.
            let ghost = members.iter().find(|each| each.is_ghost && each.stratum == stratum);
            let cohort = match ghost {
                Some(ghost) => {
                    self.connection
                        .prepare_cached("UPDATE members SET user_name = ?2 WHERE id = ?1")?
                        .execute(params![ghost.id, user.expose()])?;
                    ghost.cohort
                }
                None => {
                    let cohort = self.provisional(stratum)?;
                    self.connection
                        .prepare_cached(
                            "INSERT INTO members (key, cohort, user_name) VALUES (?1, ?2, ?3)",
                        )?
                        .execute(params![key, cohort, user.expose()])?;
                    cohort
                }
            };
            self.add_live(cohort, 1)?;
            if let Some(live) = live {
                // It may have been they who were meant, now or later.
                self.hand_on(live.cohort, cohort)?;
            }
        }
        Ok(live.map(|live| live.cohort))
    }

    /// A user's devices belong to no cohort any more, though they are there: what was accepted for the one they were in is for them alone. They join
    /// a window that is open.
    fn wake_alone(&mut self, user: &User, before: i64) -> rusqlite::Result<()> {
        let is_marked = self
            .connection
            .prepare_cached("SELECT 1 FROM marks WHERE cohort = ?1 LIMIT 1")?
            .exists([before])?;
        if !is_marked {
            return Ok(());
        }
        let devices: Vec<(SubscriptionId, Kind)> = self
            .connection
            .prepare_cached(
                "SELECT id, set_id, sealed + unsealing FROM subscriptions WHERE user_name = ?1",
            )?
            .query_map([user.expose()], |row| {
                let kind = Kind { set_id: row.get(1)?, is_sealed: row.get(2)? };
                Ok((codec::subscription_id(row, 0)?, kind))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let alone = devices.iter().filter(|(_, kind)| self.mixed(*kind) == Mixed::Batch);
        let ids: Vec<SubscriptionId> = alone.map(|(id, _)| *id).collect();
        gather(self, Timestamp::from_ms(self.closed_until + 1), &ids)
    }

    /// Windows for which something may have been accepted for a token that nobody has registered.
    pub(crate) fn marks_of_unnamed(&self, key: TokenKey) -> rusqlite::Result<Vec<i64>> {
        let owner = match self.cohort_sizes() {
            Some(_) => self.owner_of(key)?.filter(User::is_unnamed),
            None => None,
        };
        let mut windows = Vec::new();
        for cohort in owner.map(|owner| self.cohorts_for(&owner)).transpose()?.unwrap_or_default() {
            let mut select =
                self.connection.prepare_cached("SELECT window_end FROM marks WHERE cohort = ?1")?;
            for window in select.query_map([cohort], |row| row.get(0))? {
                windows.push(window?);
            }
        }
        Ok(windows)
    }

    /// A user has registered such a token: what was accepted for it is theirs.
    pub(crate) fn take_over(&mut self, windows: &[i64], user: &User) -> rusqlite::Result<()> {
        if windows.is_empty() {
            return Ok(());
        }
        self.enrol_changed()?;
        for cohort in self.cohorts_for(user)? {
            for window in windows {
                self.mark(cohort, *window)?;
            }
        }
        Ok(())
    }

    /// What tells whose devices these are apart from others, in the eyes of those who see them. Nothing for whoever has none that are woken in a
    /// cohort.
    fn stratum_of(&mut self, user: &User) -> rusqlite::Result<Option<i64>> {
        let devices: Vec<(i64, Option<String>)> = self
            .connection
            .prepare_cached(concat!(
                "SELECT set_id, topic FROM subscriptions",
                " WHERE user_name = ?1 AND sealed + unsealing = 0"
            ))?
            .query_map([user.expose()], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let kinds = self.kinds(devices.iter().map(|(set, topic)| (*set, topic.as_deref())))?;
        if kinds.is_empty() {
            return Ok(None);
        }
        let name = kinds.into_iter().collect::<Vec<_>>().join("|");
        self.connection
            .prepare_cached("INSERT INTO strata (name) VALUES (?1) ON CONFLICT DO NOTHING")?
            .execute([&name])?;
        self.connection
            .prepare_cached("SELECT id FROM strata WHERE name = ?1")?
            .query_row([&name], |row| row.get(0))
            .map(Some)
    }

    /// Of which kinds some devices are, as far as they are silent.
    pub(super) fn kinds<'a>(
        &mut self,
        devices: impl Iterator<Item = (i64, Option<&'a str>)>,
    ) -> rusqlite::Result<BTreeSet<String>> {
        let mut kinds = BTreeSet::new();
        for (set_id, topic) in devices {
            if self.mixing.as_ref().is_some_and(|mixing| mixing.silent.contains(&set_id)) {
                let set = self.set_of(set_id)?;
                kinds.insert(match topic {
                    Some(topic) => format!("{set} {topic}"),
                    None => set.to_string(),
                });
            }
        }
        Ok(kinds)
    }

    fn memberships(&self, key: [u8; 16]) -> rusqlite::Result<Vec<Member>> {
        self.connection
            .prepare_cached(concat!(
                "SELECT m.id, m.cohort, m.user_name IS NULL, c.stratum, c.standing",
                " FROM members m JOIN cohorts c ON c.id = m.cohort WHERE m.key = ?1"
            ))?
            .query_map([key], |row| {
                Ok(Member {
                    id: row.get(0)?,
                    cohort: row.get(1)?,
                    is_ghost: row.get(2)?,
                    stratum: row.get(3)?,
                    standing: row.get(4)?,
                })
            })?
            .collect()
    }

    /// The cohorts that stand for a user: the one they are in, and those they have left as a ghost.
    pub(crate) fn cohorts_for(&self, user: &User) -> rusqlite::Result<Vec<i64>> {
        let Some(mixing) = self.mixing.as_ref().filter(|mixing| mixing.sizes.is_some()) else {
            return Ok(Vec::new());
        };
        self.connection
            .prepare_cached("SELECT cohort FROM members WHERE key = ?1")?
            .query_map([mixing.key(user)], |row| row.get(0))?
            .collect()
    }

    fn leave(&mut self, member: &Member, user: &User) -> rusqlite::Result<()> {
        let leaves_ghost = member.standing == ACTIVE && !user.is_unnamed();
        let sql = if leaves_ghost {
            "UPDATE members SET user_name = NULL WHERE id = ?1"
        } else {
            "DELETE FROM members WHERE id = ?1"
        };
        self.connection.prepare_cached(sql)?.execute([member.id])?;
        self.add_live(member.cohort, -1)
    }

    fn add_live(&self, cohort: i64, change: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("UPDATE cohorts SET live = live + ?2 WHERE id = ?1")?
            .execute([cohort, change])
            .map(drop)
    }

    /// A user is erased: what is left of them is a ghost at the most.
    pub(crate) fn forget_member(&mut self, user: &User) -> rusqlite::Result<()> {
        self.enrol_changed()?;
        let Some(mixing) = &self.mixing else { return Ok(()) };
        let (key, keeps_ghost) = (mixing.key(user), mixing.ghost_after_erasure);
        for member in self.memberships(key)? {
            // Where users are not woken in cohorts now nobody has looked after them.
            if !member.is_ghost {
                self.leave(&member, user)?;
            }
        }
        if !keeps_ghost {
            self.connection.prepare_cached("DELETE FROM members WHERE key = ?1")?.execute([key])?;
        }
        Ok(())
    }

    pub(super) fn new_cohort(
        &self,
        stratum: i64,
        standing: i64,
        formed: usize,
    ) -> rusqlite::Result<i64> {
        self.connection
            .prepare_cached(
                "INSERT INTO cohorts (stratum, standing, formed, live) VALUES (?1, ?2, ?3, ?3)",
            )?
            .insert(params![stratum, standing, formed])
    }

    /// Where users of a stratum wait.
    pub(super) fn provisional(&self, stratum: i64) -> rusqlite::Result<i64> {
        let known = self
            .connection
            .prepare_cached("SELECT id FROM cohorts WHERE standing = ?1 AND stratum = ?2")?
            .query_row([PROVISIONAL, stratum], |row| row.get(0))
            .optional()?;
        match known {
            Some(id) => Ok(id),
            None => self.new_cohort(stratum, PROVISIONAL, 0),
        }
    }

    /// Retires a cohort that is spent, and dissolves survivors who are too few.
    pub(super) fn look_after(&mut self, id: i64) -> rusqlite::Result<()> {
        let Some(sizes) = self.cohort_sizes() else { return Ok(()) };
        let found: Option<(i64, i64, usize, usize)> = self
            .connection
            .prepare_cached("SELECT stratum, standing, formed, live FROM cohorts WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        let Some((stratum, standing, formed, live)) = found else { return Ok(()) };
        let is_over = match standing {
            ACTIVE => sizes.is_spent(formed, live),
            SURVIVORS => live < sizes.floor,
            _ => false,
        };
        if !is_over {
            return Ok(());
        }
        self.connection
            .prepare_cached("DELETE FROM members WHERE cohort = ?1 AND user_name IS NULL")?
            .execute([id])?;
        if live >= sizes.floor {
            self.connection
                .prepare_cached("UPDATE cohorts SET standing = ?2, formed = live WHERE id = ?1")?
                .execute([id, SURVIVORS])?;
            return Ok(());
        }
        if live == 0 {
            return self.end_cohort(id, &[]);
        }
        let to = self.provisional(stratum)?;
        self.connection
            .prepare_cached("UPDATE members SET cohort = ?2 WHERE cohort = ?1")?
            .execute([id, to])?;
        self.add_live(to, i64::try_from(live).unwrap_or(i64::MAX))?;
        self.end_cohort(id, &[to])
    }

    /// A cohort is no more. Its users are in others, and its marks go there.
    pub(super) fn end_cohort(&mut self, id: i64, successors: &[i64]) -> rusqlite::Result<()> {
        for successor in successors {
            self.hand_on(id, *successor)?;
        }
        let marks =
            self.connection.prepare_cached("DELETE FROM marks WHERE cohort = ?1")?.execute([id])?;
        let marks = i64::try_from(marks).unwrap_or(i64::MAX);
        let change = if successors.is_empty() {
            Change::settled(Settled::Cancelled, marks)
        } else {
            Change::collapsed(marks)
        };
        self.count(None, change)?;
        self.connection.prepare_cached("DELETE FROM cohorts WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// Users of a cohort are in another now. Whatever it has, or is scheduled for it, may be theirs.
    pub(super) fn hand_on(&mut self, from: i64, to: i64) -> rusqlite::Result<()> {
        self.copy_marks(from, to)?;
        self.connection
            .prepare_cached(
                "INSERT INTO successors VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET at = ?3",
            )?
            .execute([from, to, self.closed_until])
            .map(drop)
    }

    fn copy_marks(&mut self, from: i64, to: i64) -> rusqlite::Result<()> {
        let windows: Vec<i64> = self
            .connection
            .prepare_cached("SELECT window_end FROM marks WHERE cohort = ?1")?
            .query_map([from], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for window in windows {
            self.mark(to, window)?;
        }
        Ok(())
    }
}
