//! Who is in which cohort. Follows subscriptions, at the end of each transaction that changed some.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::{Mixed, Provider, Providers, Settled, Timestamp, User};
use reveille_store::TokenKey;
use reveille_store::tables::{Change, Kind};
use sqlx::mysql::MySqlRow;

use crate::codec::{
    Read, array, flag, number, optional_bytes, optional_number, subscription_id, user,
};
use crate::engine::{Masters, Tables};
use crate::error::{Done, Failed, corrupt};
use crate::outbox::gather;
use crate::rows::{listing, padded};
use crate::statement::query;

/// The standing of a cohort.
pub(super) const PROVISIONAL: i64 = 0;
pub(super) const ACTIVE: i64 = 1;
pub(super) const SURVIVORS: i64 = 2;

/// Most names in one statement.
const NAMES_MAX: usize = 1_024;
/// How often members are read until nothing changes. Twice is usual.
const READS_MAX: u32 = 10;

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
struct Stratum {
    id: i64,
    /// What its cohorts cover.
    providers: Providers,
}

/// What there is of a token that nobody has registered.
#[derive(Debug, Default)]
pub(crate) struct Estate {
    /// The windows for which something may have been accepted for it.
    windows: Vec<i64>,
    /// Where it is woken, and what is covered there, unless it waits.
    place: Option<(i64, Providers)>,
}

pub(super) fn providers(row: &MySqlRow, column: usize) -> Read<Providers> {
    let bits = number(row, column)?;
    Ok(Providers::from_bits(u8::try_from(bits).unwrap_or_default()))
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

impl Tables<'_> {
    /// Brings those users to where they belong whose devices have changed.
    pub(crate) async fn enrol_changed(&mut self) -> Done<()> {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() || self.cohort_sizes().is_none() {
            return Ok(());
        }
        self.take_members_turn().await?;
        let mut left = BTreeSet::new();
        for user in changed {
            left.extend(self.enrol(&user).await?);
        }
        // Only when everybody is where they belong: whoever left one cohort may have come to another.
        for cohort in left {
            self.look_after(cohort).await?;
        }
        Ok(())
    }

    /// Brings one user to where they belong: whoever is in a cohort that was formed stays there as long as they have a device where it covers, and
    /// what no such cohort covers waits. Returns the cohorts they are not in any more as they were.
    async fn enrol(&mut self, user: &User) -> Done<Vec<i64>> {
        let Some(key) = self.mixing().map(|mixing| mixing.key(user)) else {
            return Ok(Vec::new());
        };
        let kinds = self.kinds_of(user).await?;
        let has: Providers = kinds.iter().map(|(provider, _)| *provider).collect();
        let before = self.memberships(key).await?;
        let mut covered = Providers::default();
        for member in before.iter().filter(|member| member.standing != PROVISIONAL) {
            let covers = member.stratum.providers;
            let is_open = member.lives() || covers.and(covered).is_empty();
            if !covers.and(has).is_empty() && is_open {
                // Whoever comes back takes the place of their ghost.
                self.stay(member, user, covers.but(has)).await?;
                covered = covered.or(covers);
            } else if member.lives() {
                self.leave(member, user).await?;
            }
        }
        let waiting = kinds.iter().filter(|(provider, _)| !covered.contains(*provider));
        let waiting: BTreeSet<&str> = waiting.map(|(_, kind)| kind.as_str()).collect();
        let stratum = self.stratum(&waiting, has.but(covered)).await?;
        let waits = before.iter().find(|member| member.standing == PROVISIONAL);
        if waits.map(|member| member.stratum) != stratum {
            if let Some(member) = waits {
                self.leave(member, user).await?;
            }
            if let Some(stratum) = stratum {
                let cohort = self.provisional(stratum.id).await?;
                self.join(user, key, cohort).await?;
            }
        }
        let after = self.memberships(key).await?;
        self.follow(user, &before, &after).await
    }

    /// What a user's cohorts have is for those they came to, and for devices that are in none any more.
    async fn follow(&mut self, user: &User, before: &[Member], after: &[Member]) -> Done<Vec<i64>> {
        let lived = |of: &[Member]| -> BTreeSet<i64> {
            of.iter().filter(|member| member.lives()).map(|member| member.cohort).collect()
        };
        let (were, are) = (lived(before), lived(after));
        for left in were.difference(&are) {
            for came in are.difference(&were) {
                // It may have been they who were meant, now or later.
                self.hand_on(*left, *came).await?;
            }
        }
        let woken = after.iter().fold(Providers::default(), |all, each| all.or(each.woken_at()));
        for member in before {
            let lost = member.woken_at().but(woken);
            if !lost.is_empty() {
                self.wake_alone(user, member.cohort, lost).await?;
            }
        }
        let counts = |of: &[Member], cohort| {
            of.iter().any(|member| member.cohort == cohort && member.counts())
        };
        Ok(were.into_iter().filter(|id| counts(before, *id) && !counts(after, *id)).collect())
    }

    /// A user's devices at these providers belong to no cohort any more, though they are there: what was accepted for the one they were in is for
    /// them alone. They join a window that is open.
    async fn wake_alone(&mut self, user: &User, before: i64, providers: Providers) -> Done<()> {
        let first = query("SELECT MIN(window_end) FROM marks WHERE cohort = ?").bind(before);
        let first = self.one(first).await?.ok_or_else(corrupt)?;
        // On Galera something may be on its way that cannot be seen yet: once for nothing is better than not at all.
        let first = match optional_number(&first, 0)? {
            Some(first) => first,
            None if self.engine.masters == Masters::Several => i64::MIN,
            None => return Ok(()),
        };
        let select = query("SELECT id, set_id, on_beat FROM subscriptions WHERE user_name = ?");
        let mut alone = Vec::new();
        for row in self.all(select.bind(user.expose().as_bytes())).await? {
            let kind = Kind { set_id: number(&row, 1)?, is_sealed: flag(&row, 2)? };
            let provider = self.set_of(kind.set_id).await?.provider();
            if providers.contains(provider) && self.mixed(kind) == Mixed::Batch {
                alone.push(subscription_id(&row, 0)?);
            }
        }
        if alone.is_empty() {
            return Ok(());
        }
        // No window is closed before that is written.
        let closed_until = self.pass_gate().await?.closed_until;
        gather(self, Timestamp::from_ms(first.max(closed_until.as_ms() + 1)), &alone).await
    }

    /// What a token has that nobody has registered.
    pub(crate) async fn estate(&mut self, key: TokenKey) -> Done<Estate> {
        if self.cohort_sizes().is_none() {
            return Ok(Estate::default());
        }
        let owner = self.owner_of(key).await?.filter(User::is_unnamed);
        let member = owner.and_then(|owner| self.mixing().map(|mixing| mixing.key(&owner)));
        let Some(member) = member else { return Ok(Estate::default()) };
        // It is to be changed, anyhow.
        self.take_members_turn().await?;
        let memberships = self.memberships(member).await?;
        let mut windows = Vec::new();
        for member in &memberships {
            let select = query("SELECT window_end FROM marks WHERE cohort = ?");
            for row in self.all(select.bind(member.cohort)).await? {
                windows.push(number(&row, 0)?);
            }
        }
        let formed = memberships.iter().find(|member| member.standing != PROVISIONAL);
        let place = formed.map(|member| (member.cohort, member.stratum.providers));
        Ok(Estate { windows, place })
    }

    /// A user has registered such a token: what was accepted for it is theirs, and so is its place.
    pub(crate) async fn take_over(&mut self, estate: &Estate, user: &User) -> Done<()> {
        let key = self.mixing().map(|mixing| mixing.key(user));
        if let (Some((cohort, covers)), Some(key)) = (estate.place, key) {
            let others = self.memberships(key).await?;
            if others.iter().all(|other| other.stratum.providers.and(covers).is_empty()) {
                // Whoever watches sees the same devices in the same company as before.
                return self.join(user, key, cohort).await;
            }
        }
        if estate.windows.is_empty() {
            return Ok(());
        }
        self.enrol_changed().await?;
        let cohorts = self.cohorts_of(std::slice::from_ref(user)).await?;
        for cohort in cohorts.into_values().flatten() {
            for window in &estate.windows {
                self.mark(cohort, *window).await?;
            }
        }
        Ok(())
    }

    /// Of which kinds a user's devices are that are woken in a cohort.
    async fn kinds_of(&mut self, user: &User) -> Done<Vec<(Provider, String)>> {
        let select =
            query("SELECT set_id, topic FROM subscriptions WHERE user_name = ? AND on_beat = 0");
        let mut kinds = Vec::new();
        for row in self.all(select.bind(user.expose().as_bytes())).await? {
            let set_id = number(&row, 0)?;
            if self.mixing().is_some_and(|mixing| mixing.kinds.silent.contains(&set_id)) {
                let set = self.set_of(set_id).await?;
                let kind = match optional_bytes(&row, 1)? {
                    Some(topic) => format!("{set} {}", String::from_utf8_lossy(&topic)),
                    None => set.to_string(),
                };
                kinds.push((set.provider(), kind));
            }
        }
        Ok(kinds)
    }

    /// The stratum of devices of these kinds; nothing where there are none.
    async fn stratum(
        &mut self,
        kinds: &BTreeSet<&str>,
        providers: Providers,
    ) -> Done<Option<Stratum>> {
        if kinds.is_empty() {
            return Ok(None);
        }
        let name = kinds.iter().copied().collect::<Vec<_>>().join("|");
        let known = "SELECT id FROM strata WHERE name_hash = UNHEX(SHA2(?, 256))";
        if let Some(row) = self.one(query(known).bind(name.as_bytes())).await? {
            return Ok(Some(Stratum { id: number(&row, 0)?, providers }));
        }
        let insert = query(
            "INSERT INTO strata (name_hash, name, providers) VALUES (UNHEX(SHA2(?, 256)), ?, ?)",
        );
        let insert = insert.bind(name.as_bytes()).bind(name.as_bytes()).bind(providers.bits());
        Ok(Some(Stratum { id: self.insert(insert).await?, providers }))
    }

    /// The cohorts a user lives in, then those they have left as a ghost.
    async fn memberships(&mut self, key: [u8; 16]) -> Done<Vec<Member>> {
        let select = query(concat!(
            "SELECT m.id, m.cohort, m.user_name IS NULL, m.lacks, c.stratum, s.providers, c.standing",
            " FROM members m JOIN cohorts c ON c.id = m.cohort JOIN strata s ON s.id = c.stratum",
            " WHERE m.member = ? ORDER BY m.user_name IS NULL, m.id"
        ));
        let rows = self.all(select.bind(key.as_slice())).await?;
        let read = |row: &MySqlRow| {
            Ok(Member {
                id: number(row, 0)?,
                cohort: number(row, 1)?,
                is_ghost: flag(row, 2)?,
                lacks: providers(row, 3)?,
                stratum: Stratum { id: number(row, 4)?, providers: providers(row, 5)? },
                standing: number(row, 6)?,
            })
        };
        Ok(rows.iter().map(read).collect::<Read<_>>()?)
    }

    /// The cohorts that stand for users: those they live in, and those they have left as a ghost. Until the transaction is over nobody brings them to others.
    pub(crate) async fn cohorts_of(&mut self, users: &[User]) -> Done<BTreeMap<User, Vec<i64>>> {
        let mut cohorts: BTreeMap<User, Vec<i64>> = BTreeMap::new();
        let mixing = self.mixing().filter(|mixing| mixing.kinds.sizes.is_some()).cloned();
        let Some(mixing) = mixing else { return Ok(cohorts) };
        for part in users.chunks(NAMES_MAX) {
            let by_key: BTreeMap<[u8; 16], &User> =
                part.iter().map(|user| (mixing.key(user), user)).collect();
            let read = self.read_cohorts_of(&padded(by_key.keys().copied())).await?;
            for (key, cohort) in read {
                if let Some(user) = by_key.get(&key) {
                    cohorts.entry((*user).clone()).or_default().push(cohort);
                }
            }
        }
        Ok(cohorts)
    }

    /// Holds the members of these keys. A row that is deleted while it is waited for may have been put where the scan has been, so it is read until nothing changes.
    async fn read_cohorts_of(&mut self, keys: &[[u8; 16]]) -> Done<Vec<([u8; 16], i64)>> {
        let mut before = None;
        for _ in 0..READS_MAX {
            let sql = concat!(
                "SELECT member, cohort FROM members WHERE member IN ({})",
                " ORDER BY member LOCK IN SHARE MODE"
            );
            let mut select = query(listing(sql, "?", keys.len()));
            for key in keys {
                select = select.bind(key.as_slice());
            }
            let mut found = Vec::new();
            for row in self.all(select).await? {
                found.push((array(&row, 0)?, number(&row, 1)?));
            }
            // What is ordered by member only.
            found.sort_unstable();
            if before.as_ref() == Some(&found) {
                return Ok(found);
            }
            before = Some(found);
        }
        Err(Failed::Overtaken)
    }

    async fn join(&mut self, user: &User, key: [u8; 16], cohort: i64) -> Done<()> {
        let insert = query("INSERT INTO members (member, cohort, user_name) VALUES (?, ?, ?)");
        let insert = insert.bind(key.as_slice()).bind(cohort).bind(user.expose().as_bytes());
        self.execute(insert).await?;
        self.add_live(cohort, 1).await
    }

    /// A user lives in a cohort, whether they have done so before or not.
    async fn stay(&mut self, member: &Member, user: &User, lacks: Providers) -> Done<()> {
        if member.lives() && member.lacks == lacks {
            return Ok(());
        }
        let update = query("UPDATE members SET user_name = ?, lacks = ? WHERE id = ?");
        let update = update.bind(user.expose().as_bytes()).bind(lacks.bits()).bind(member.id);
        self.execute(update).await?;
        self.add_live(member.cohort, i64::from(lacks.is_empty()) - i64::from(member.counts())).await
    }

    async fn leave(&mut self, member: &Member, user: &User) -> Done<()> {
        let leaves_ghost = member.standing == ACTIVE && !user.is_unnamed();
        let sql = if leaves_ghost {
            "UPDATE members SET user_name = NULL, lacks = 0 WHERE id = ?"
        } else {
            "DELETE FROM members WHERE id = ?"
        };
        self.execute(query(sql).bind(member.id)).await?;
        self.add_live(member.cohort, -i64::from(member.counts())).await
    }

    async fn add_live(&mut self, cohort: i64, change: i64) -> Done<()> {
        let update = query("UPDATE cohorts SET live = live + ? WHERE id = ?");
        self.execute(update.bind(change).bind(cohort)).await.map(drop)
    }

    /// A user is erased: what is left of them is a ghost at the most.
    pub(crate) async fn forget_member(&mut self, user: &User) -> Done<()> {
        self.enrol_changed().await?;
        let Some(mixing) = self.mixing().cloned() else { return Ok(()) };
        self.take_members_turn().await?;
        let key = mixing.key(user);
        for member in self.memberships(key).await? {
            // Where users are not woken in cohorts now nobody has looked after them.
            if member.lives() {
                self.leave(&member, user).await?;
            }
        }
        if !mixing.kinds.ghost_after_erasure {
            let delete = query("DELETE FROM members WHERE member = ?").bind(key.as_slice());
            self.execute(delete).await?;
        }
        Ok(())
    }

    pub(super) async fn new_cohort(&mut self, stratum: i64, standing: i64) -> Done<i64> {
        let insert =
            query("INSERT INTO cohorts (stratum, standing, formed, live) VALUES (?, ?, 0, 0)");
        self.insert(insert.bind(stratum).bind(standing)).await
    }

    /// Where users of a stratum wait.
    pub(super) async fn provisional(&mut self, stratum: i64) -> Done<i64> {
        let known = query("SELECT id FROM cohorts WHERE standing = ? AND stratum = ?");
        match self.one(known.bind(PROVISIONAL).bind(stratum)).await? {
            Some(row) => Ok(number(&row, 0)?),
            None => self.new_cohort(stratum, PROVISIONAL).await,
        }
    }

    /// Retires a cohort that is spent, and dissolves survivors who are too few.
    pub(super) async fn look_after(&mut self, id: i64) -> Done<()> {
        let Some(sizes) = self.cohort_sizes() else { return Ok(()) };
        let found = query("SELECT standing, formed, live FROM cohorts WHERE id = ?").bind(id);
        let Some(row) = self.one(found).await? else { return Ok(()) };
        let size = |column| Read::Ok(usize::try_from(number(&row, column)?).unwrap_or_default());
        let (standing, formed, live) = (number(&row, 0)?, size(1)?, size(2)?);
        let is_over = match standing {
            ACTIVE => sizes.is_spent(formed, live),
            SURVIVORS => live < sizes.floor,
            _ => false,
        };
        if !is_over {
            return Ok(());
        }
        let ghosts = query("DELETE FROM members WHERE cohort = ? AND user_name IS NULL");
        self.execute(ghosts.bind(id)).await?;
        if live >= sizes.floor {
            let update = query("UPDATE cohorts SET standing = ?, formed = live WHERE id = ?");
            return self.execute(update.bind(SURVIVORS).bind(id)).await.map(drop);
        }
        self.dissolve(id).await
    }

    /// All of a cohort wait anew.
    async fn dissolve(&mut self, id: i64) -> Done<()> {
        let delete = query("DELETE FROM members WHERE cohort = ? RETURNING user_name");
        let mut to = BTreeSet::new();
        for row in self.all(delete.bind(id)).await? {
            let user = user(&row, 0)?;
            // Nobody leaves another cohort by it.
            Box::pin(self.enrol(&user)).await?;
            let Some(key) = self.mixing().map(|mixing| mixing.key(&user)) else { continue };
            let waits = self.memberships(key).await?;
            let waits = waits.iter().filter(|member| member.standing == PROVISIONAL);
            to.extend(waits.map(|member| member.cohort));
        }
        self.end_cohort(id, &to.into_iter().collect::<Vec<_>>()).await
    }

    /// A cohort is no more. Its users are in others, and its marks go there.
    pub(super) async fn end_cohort(&mut self, id: i64, successors: &[i64]) -> Done<()> {
        for successor in successors {
            self.hand_on(id, *successor).await?;
        }
        let marks = self.execute(query("DELETE FROM marks WHERE cohort = ?").bind(id)).await?;
        let marks = i64::try_from(marks).unwrap_or(i64::MAX);
        let change = if successors.is_empty() {
            Change::settled(Settled::Cancelled, marks)
        } else {
            Change::collapsed(marks)
        };
        self.count(None, change);
        self.execute(query("DELETE FROM cohorts WHERE id = ?").bind(id)).await.map(drop)
    }

    /// Users of a cohort are in another now. Whatever it has, or is scheduled for it, may be theirs.
    pub(super) async fn hand_on(&mut self, from: i64, to: i64) -> Done<()> {
        let marks = query("SELECT window_end FROM marks WHERE cohort = ?").bind(from);
        for row in self.all(marks).await? {
            self.mark(to, number(&row, 0)?).await?;
        }
        // None is closed meanwhile: it is our turn.
        let closed_until = self.closed_until().await?;
        let upsert = query(concat!(
            "INSERT INTO successors (cohort, successor, at) VALUES (?, ?, ?)",
            " ON DUPLICATE KEY UPDATE at = VALUES(at)"
        ));
        let upsert = upsert.bind(from).bind(to).bind(closed_until.as_ms());
        self.execute(upsert).await.map(drop)
    }
}
