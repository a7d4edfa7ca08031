//! Who is in which cohort. Follows subscriptions, at the end of each command that changed some.

use std::collections::BTreeSet;

use reveille_model::{Mixed, Provider, Providers, Settled, SubscriptionId, Timestamp, User};
use reveille_store::TokenKey;
use reveille_store::tables::{Change, Kind};
use rusqlite::{OptionalExtension as _, Row, params};

use super::company::gather;
use crate::codec;
use crate::engine::Tables;

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
    /// Where the cohort covers and they have no device any more.
    lacks: Providers,
    /// Of the cohort.
    stratum: Stratum,
    standing: i64,
}

/// Users whose devices whoever sees them cannot tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stratum {
    pub(super) id: i64,
    /// What its cohorts cover.
    pub(super) providers: Providers,
}

/// What there is of a token that nobody has registered.
#[derive(Debug, Default)]
pub(crate) struct Estate {
    /// The windows for which something may have been accepted for it.
    windows: Vec<i64>,
    /// Where it is woken, and what is covered there, unless it waits.
    place: Option<(i64, Providers)>,
}

pub(super) fn providers(row: &Row<'_>, column: usize) -> rusqlite::Result<Providers> {
    row.get(column).map(Providers::from_bits)
}

impl Member {
    const fn lives(&self) -> bool {
        !self.is_ghost
    }

    /// Whether they are among the live of their cohort.
    const fn counts(&self) -> bool {
        !self.is_ghost && self.lacks.is_empty()
    }

    /// At which providers devices of theirs are woken with it.
    fn woken_at(&self) -> Providers {
        if self.is_ghost { Providers::default() } else { self.stratum.providers.but(self.lacks) }
    }
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

    /// Brings one user to where they belong: whoever is in a cohort that was formed stays there as long as they have a device where it covers, and
    /// what no such cohort covers waits. Returns the cohorts they are not in any more as they were.
    fn enrol(&mut self, user: &User) -> rusqlite::Result<Vec<i64>> {
        let Some(key) = self.mixing.as_ref().map(|mixing| mixing.key(user)) else {
            return Ok(Vec::new());
        };
        let kinds = self.kinds_of(user)?;
        let has: Providers = kinds.iter().map(|(provider, _)| *provider).collect();
        let before = self.memberships(key)?;
        let mut covered = Providers::default();
        for member in before.iter().filter(|member| member.standing != PROVISIONAL) {
            let covers = member.stratum.providers;
            let is_open = member.lives() || covers.and(covered).is_empty();
            if !covers.and(has).is_empty() && is_open {
                // Whoever comes back takes the place of their ghost.
                self.stay(member, user, covers.but(has))?;
                covered = covered.or(covers);
            } else if member.lives() {
                self.leave(member, user)?;
            }
        }
        let waiting: BTreeSet<&str> = kinds
            .iter()
            .filter(|(provider, _)| !covered.contains(*provider))
            .map(|(_, kind)| kind.as_str())
            .collect();
        let stratum = self.stratum(&waiting, has.but(covered))?;
        let waits = before.iter().find(|member| member.standing == PROVISIONAL);
        if waits.map(|member| member.stratum) != stratum {
            if let Some(member) = waits {
                self.leave(member, user)?;
            }
            if let Some(stratum) = stratum {
                let cohort = self.provisional(stratum.id)?;
                self.join(user, key, cohort)?;
            }
        }
        self.follow(user, &before, &self.memberships(key)?)
    }

    /// What a user's cohorts have is for those they came to, and for devices that are in none any more.
    fn follow(
        &mut self,
        user: &User,
        before: &[Member],
        after: &[Member],
    ) -> rusqlite::Result<Vec<i64>> {
        let lived = |of: &[Member]| -> BTreeSet<i64> {
            of.iter().filter(|member| member.lives()).map(|member| member.cohort).collect()
        };
        let (were, are) = (lived(before), lived(after));
        for left in were.difference(&are) {
            for came in are.difference(&were) {
                // It may have been they who were meant, now or later.
                self.hand_on(*left, *came)?;
            }
        }
        let woken = after.iter().fold(Providers::default(), |all, each| all.or(each.woken_at()));
        for member in before {
            let lost = member.woken_at().but(woken);
            if !lost.is_empty() {
                self.wake_alone(user, member.cohort, lost)?;
            }
        }
        let counts = |of: &[Member], cohort| {
            of.iter().any(|member| member.cohort == cohort && member.counts())
        };
        Ok(were.into_iter().filter(|id| counts(before, *id) && !counts(after, *id)).collect())
    }

    /// A user's devices at these providers belong to no cohort any more, though they are there: what was accepted for the one they were in is for
    /// them alone. They join a window that is open.
    fn wake_alone(
        &mut self,
        user: &User,
        before: i64,
        providers: Providers,
    ) -> rusqlite::Result<()> {
        let first: Option<i64> = self
            .connection
            .prepare_cached("SELECT MIN(window_end) FROM marks WHERE cohort = ?1")?
            .query_row([before], |row| row.get(0))?;
        let Some(first) = first else { return Ok(()) };
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
        let mut alone = Vec::new();
        for (id, kind) in devices {
            let provider = self.set_of(kind.set_id)?.provider();
            if providers.contains(provider) && self.mixed(kind) == Mixed::Batch {
                alone.push(id);
            }
        }
        gather(self, Timestamp::from_ms(first.max(self.closed_until + 1)), &alone)
    }

    /// What a token has that nobody has registered.
    pub(crate) fn estate(&self, key: TokenKey) -> rusqlite::Result<Estate> {
        let owner = match self.cohort_sizes() {
            Some(_) => self.owner_of(key)?.filter(User::is_unnamed),
            None => None,
        };
        let (Some(owner), Some(mixing)) = (owner, &self.mixing) else {
            return Ok(Estate::default());
        };
        let memberships = self.memberships(mixing.key(&owner))?;
        let mut windows = Vec::new();
        for member in &memberships {
            let mut select =
                self.connection.prepare_cached("SELECT window_end FROM marks WHERE cohort = ?1")?;
            for window in select.query_map([member.cohort], |row| row.get(0))? {
                windows.push(window?);
            }
        }
        let formed = memberships.iter().find(|member| member.standing != PROVISIONAL);
        let place = formed.map(|member| (member.cohort, member.stratum.providers));
        Ok(Estate { windows, place })
    }

    /// A user has registered such a token: what was accepted for it is theirs, and so is its place.
    pub(crate) fn take_over(&mut self, estate: &Estate, user: &User) -> rusqlite::Result<()> {
        if let (Some((cohort, covers)), Some(mixing)) = (estate.place, &self.mixing) {
            let key = mixing.key(user);
            let others = self.memberships(key)?;
            if others.iter().all(|other| other.stratum.providers.and(covers).is_empty()) {
                // Whoever watches sees the same devices in the same company as before.
                return self.join(user, key, cohort);
            }
        }
        if estate.windows.is_empty() {
            return Ok(());
        }
        self.enrol_changed()?;
        for cohort in self.cohorts_for(user)? {
            for window in &estate.windows {
                self.mark(cohort, *window)?;
            }
        }
        Ok(())
    }

    /// Of which kinds a user's devices are that are woken in a cohort.
    fn kinds_of(&mut self, user: &User) -> rusqlite::Result<Vec<(Provider, String)>> {
        let devices: Vec<(i64, Option<String>)> = self
            .connection
            .prepare_cached(concat!(
                "SELECT set_id, topic FROM subscriptions",
                " WHERE user_name = ?1 AND sealed + unsealing = 0"
            ))?
            .query_map([user.expose()], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut kinds = Vec::new();
        for (set_id, topic) in devices {
            if self.mixing.as_ref().is_some_and(|mixing| mixing.kinds.silent.contains(&set_id)) {
                let set = self.set_of(set_id)?;
                let kind = match topic {
                    Some(topic) => format!("{set} {topic}"),
                    None => set.to_string(),
                };
                kinds.push((set.provider(), kind));
            }
        }
        Ok(kinds)
    }

    /// The stratum of devices of these kinds; nothing where there are none.
    fn stratum(
        &self,
        kinds: &BTreeSet<&str>,
        providers: Providers,
    ) -> rusqlite::Result<Option<Stratum>> {
        if kinds.is_empty() {
            return Ok(None);
        }
        let name = kinds.iter().copied().collect::<Vec<_>>().join("|");
        self.connection
            .prepare_cached(
                "INSERT INTO strata (name, providers) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            )?
            .execute(params![name, providers.bits()])?;
        self.connection
            .prepare_cached("SELECT id FROM strata WHERE name = ?1")?
            .query_row([&name], |row| row.get(0))
            .map(|id| Some(Stratum { id, providers }))
    }

    /// The cohorts a user lives in, then those they have left as a ghost.
    fn memberships(&self, key: [u8; 16]) -> rusqlite::Result<Vec<Member>> {
        self.connection
            .prepare_cached(concat!(
                "SELECT m.id, m.cohort, m.user_name IS NULL, m.lacks, c.stratum, s.providers, c.standing",
                " FROM members m JOIN cohorts c ON c.id = m.cohort JOIN strata s ON s.id = c.stratum",
                " WHERE m.key = ?1 ORDER BY m.user_name IS NULL"
            ))?
            .query_map([key], |row| {
                let stratum = Stratum { id: row.get(4)?, providers: providers(row, 5)? };
                Ok(Member {
                    id: row.get(0)?,
                    cohort: row.get(1)?,
                    is_ghost: row.get(2)?,
                    lacks: providers(row, 3)?,
                    stratum,
                    standing: row.get(6)?,
                })
            })?
            .collect()
    }

    /// The cohorts that stand for a user: those they live in, and those they have left as a ghost.
    pub(crate) fn cohorts_for(&self, user: &User) -> rusqlite::Result<Vec<i64>> {
        let Some(mixing) = self.mixing.as_ref().filter(|mixing| mixing.kinds.sizes.is_some())
        else {
            return Ok(Vec::new());
        };
        self.connection
            .prepare_cached("SELECT cohort FROM members WHERE key = ?1")?
            .query_map([mixing.key(user)], |row| row.get(0))?
            .collect()
    }

    fn join(&mut self, user: &User, key: [u8; 16], cohort: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT INTO members (key, cohort, user_name) VALUES (?1, ?2, ?3)")?
            .execute(params![key, cohort, user.expose()])?;
        self.add_live(cohort, 1)
    }

    /// A user lives in a cohort, whether they have done so before or not.
    fn stay(&mut self, member: &Member, user: &User, lacks: Providers) -> rusqlite::Result<()> {
        if member.lives() && member.lacks == lacks {
            return Ok(());
        }
        self.connection
            .prepare_cached("UPDATE members SET user_name = ?2, lacks = ?3 WHERE id = ?1")?
            .execute(params![member.id, user.expose(), lacks.bits()])?;
        self.add_live(member.cohort, i64::from(lacks.is_empty()) - i64::from(member.counts()))
    }

    fn leave(&mut self, member: &Member, user: &User) -> rusqlite::Result<()> {
        let leaves_ghost = member.standing == ACTIVE && !user.is_unnamed();
        let sql = if leaves_ghost {
            "UPDATE members SET user_name = NULL, lacks = 0 WHERE id = ?1"
        } else {
            "DELETE FROM members WHERE id = ?1"
        };
        self.connection.prepare_cached(sql)?.execute([member.id])?;
        self.add_live(member.cohort, -i64::from(member.counts()))
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
        let (key, keeps_ghost) = (mixing.key(user), mixing.kinds.ghost_after_erasure);
        for member in self.memberships(key)? {
            // Where users are not woken in cohorts now nobody has looked after them.
            if member.lives() {
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
        let found: Option<(i64, usize, usize)> = self
            .connection
            .prepare_cached("SELECT standing, formed, live FROM cohorts WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((standing, formed, live)) = found else { return Ok(()) };
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
        let users: Vec<User> = self
            .connection
            .prepare_cached("SELECT user_name FROM members WHERE cohort = ?1")?
            .query_map([id], |row| codec::user(row, 0))?
            .collect::<rusqlite::Result<_>>()?;
        self.connection.prepare_cached("DELETE FROM members WHERE cohort = ?1")?.execute([id])?;
        let mut to = BTreeSet::new();
        for user in users {
            // Nobody leaves another cohort by it.
            self.enrol(&user)?;
            let Some(key) = self.mixing.as_ref().map(|mixing| mixing.key(&user)) else { continue };
            let waits = self.memberships(key)?;
            let waits = waits.iter().filter(|member| member.standing == PROVISIONAL);
            to.extend(waits.map(|member| member.cohort));
        }
        self.end_cohort(id, &to.into_iter().collect::<Vec<_>>())
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
