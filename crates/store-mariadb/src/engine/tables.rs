//! A transaction under way: its connection, its lane, and what it has counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reveille_model::{
    CohortSizes, CredentialSet, Mixed, Provider, Settled, Timestamp, Token, Topic, User,
};
use reveille_store::tables::{Change, Kind};
use reveille_store::{StoreError, TokenKey};
use reveille_vault::Vault;
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, MySql, Transaction};

use super::{Engine, Lane, NOW_US};
use crate::codec::{count, number, time, token_key};
use crate::cohorts::Mixing;
use crate::error::{Done, corrupt};
use crate::outbox::place;
use crate::rows::{chunks, known_rows, listing};
use crate::statement::{Query, Sent, query};

/// The columns of counts, in the order of [`Change::counts`].
const COUNTS: [&str; 10] = [
    "accepted",
    "waiting",
    "collapsed",
    "settled_sent",
    "settled_dead",
    "settled_expired",
    "settled_cancelled",
    "settled_payload_error",
    "settled_dry_run",
    "settled_limited",
];

const _: () = assert!(COUNTS.len() == 3 + Settled::ALL.len(), "a column for each count");

/// What is known behind the gate: see [`Tables::pass_gate`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gate {
    /// The end of the last window that is closed. None is closed while the transaction runs.
    pub(crate) closed_until: Timestamp,
    /// How many wake-ups wait, and how many are named by what is scheduled.
    pub(crate) waiting: u64,
}

/// What a device is counted by.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(crate) set_id: i64,
    pub(crate) topic: Option<Topic>,
    pub(crate) refreshed_at: Timestamp,
}

/// A transaction under way. Dropped, nothing of it has happened.
pub(crate) struct Tables<'e> {
    pub(crate) engine: &'e Engine,
    transaction: Transaction<'static, MySql>,
    lane: Lane,
    /// How devices are mixed, as it was said before the transaction began.
    mixing: Option<Arc<Mixing>>,
    ledger: Change,
    trails: BTreeMap<i64, Change>,
    /// How many more, or fewer, devices of a credential set were last registered on a day.
    devices: BTreeMap<(i64, i64), i64>,
    /// How many more, or fewer, there are of a credential set and topic.
    kinds: BTreeMap<(i64, Option<Topic>), i64>,
    /// How many more, or fewer, notifications are scheduled, and whom they name.
    scheduled: (i64, i64),
    /// The last number of a gathered row, where the gate was passed.
    number: Option<i64>,
    /// Users whose devices have changed.
    pub(crate) changed: BTreeSet<User>,
    /// Whether it is our turn to change who is in which cohort.
    has_members_turn: bool,
}

impl std::fmt::Debug for Tables<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("lane", &self.lane).finish_non_exhaustive()
    }
}

impl<'e> Tables<'e> {
    pub(super) async fn begin(engine: &'e Engine) -> Done<Self> {
        let lane = engine.lanes.take().await;
        let lane = lane.ok_or_else(|| StoreError::Unavailable("the store is closed".to_owned()))?;
        Ok(Self {
            transaction: engine.pool.begin().await?,
            mixing: engine.mixing(),
            engine,
            lane,
            ledger: Change::default(),
            trails: BTreeMap::new(),
            devices: BTreeMap::new(),
            kinds: BTreeMap::new(),
            scheduled: (0, 0),
            number: None,
            changed: BTreeSet::new(),
            has_members_turn: false,
        })
    }

    /// Writes what was counted and is on disk once this returns.
    pub(super) async fn commit(mut self) -> Done<()> {
        self.enrol_changed().await?;
        self.write_trails().await?;
        self.write_devices().await?;
        self.write_lane().await?;
        self.transaction.commit().await?;
        Ok(())
    }

    /// Refuses a moment that is ahead of the database's clock.
    pub(crate) async fn is_ahead(&mut self, now: Timestamp) -> Done<()> {
        if self.engine.clock_skew_max.is_none() {
            return Ok(());
        }
        let row = self.one(query(AssertSqlSafe(format!("SELECT {NOW_US}")))).await?;
        self.engine.is_ahead(now, number(&row.ok_or_else(corrupt)?, 0)?)
    }

    pub(super) async fn roll_back(self) -> Done<()> {
        self.transaction.rollback().await?;
        Ok(())
    }

    const fn sent(&self) -> Sent {
        Sent::to(self.engine.masters)
    }

    /// Carries out a statement; returns how many rows it found.
    pub(crate) async fn execute(&mut self, query: Query) -> Done<u64> {
        let done = query.execute_in(self.sent(), &mut *self.transaction).await?;
        Ok(done.rows_affected())
    }

    /// Carries out a statement that makes a row; returns its number.
    pub(crate) async fn insert(&mut self, query: Query) -> Done<i64> {
        let done = query.execute_in(self.sent(), &mut *self.transaction).await?;
        Ok(i64::try_from(done.last_insert_id()).unwrap_or(i64::MAX))
    }

    /// All rows a statement finds.
    pub(crate) async fn all(&mut self, query: Query) -> Done<Vec<MySqlRow>> {
        Ok(query.fetch_in(self.sent(), &mut *self.transaction).await?)
    }

    /// The row a statement finds, if it finds one.
    pub(crate) async fn one(&mut self, query: Query) -> Done<Option<MySqlRow>> {
        Ok(self.all(query).await?.into_iter().next())
    }

    /// Whether a statement finds anything.
    pub(crate) async fn exists(&mut self, query: Query) -> Done<bool> {
        self.one(query).await.map(|row| row.is_some())
    }

    pub(crate) fn vault(&self) -> &'e Vault {
        &self.engine.vault
    }

    pub(crate) fn token_key(&self, provider: Provider, token: &Token) -> TokenKey {
        token_key(self.vault(), provider, token)
    }

    pub(crate) async fn set_id(&self, set: &CredentialSet) -> Done<i64> {
        self.engine.sets.id(&self.engine.pool, set).await
    }

    pub(crate) async fn set_of(&self, id: i64) -> Done<CredentialSet> {
        self.engine.sets.name(&self.engine.pool, id).await
    }

    pub(crate) fn mixing(&self) -> Option<&Arc<Mixing>> {
        self.mixing.as_ref()
    }

    /// How a device is woken.
    pub(crate) fn mixed(&self, kind: Kind) -> Mixed {
        self.mixing.as_ref().map_or(Mixed::Batch, |mixing| mixing.kinds.of(kind))
    }

    /// Where users are woken in cohorts: how large those are.
    pub(crate) fn cohort_sizes(&self) -> Option<CohortSizes> {
        self.mixing.as_ref().and_then(|mixing| mixing.kinds.sizes)
    }

    /// Adds counts to the ledger, and to a notification's trail.
    pub(crate) fn count(&mut self, trail: Option<i64>, change: Change) {
        self.ledger = self.ledger.and(change);
        if let Some(seq) = trail {
            let total = self.trails.entry(seq).or_default();
            *total = total.and(change);
        }
    }

    /// A device came, or went.
    pub(crate) fn count_device(&mut self, device: Counted, more: i64) {
        let Counted { set_id, topic, refreshed_at } = device;
        *self.devices.entry((set_id, refreshed_at.day())).or_default() += more;
        *self.kinds.entry((set_id, topic)).or_default() += more;
    }

    /// A notification is scheduled that names so many, or is no longer.
    pub(crate) fn count_scheduled(&mut self, more: i64, named: i64) {
        self.scheduled = (self.scheduled.0 + more, self.scheduled.1 + named);
    }

    /// A user's devices have changed: they are to be brought to where they belong before the commit.
    pub(crate) fn has_changed(&mut self, user: &User) {
        if self.cohort_sizes().is_some() {
            self.changed.insert(user.clone());
        }
    }

    /// From here on no window is closed until the transaction is over: closing one changes every lane, ours too.
    pub(crate) async fn pass_gate(&mut self) -> Done<Gate> {
        let lane = query("SELECT closed_until, number FROM lanes WHERE id = ? FOR UPDATE");
        let lane = self.one(lane.bind(self.lane.id())).await?.ok_or_else(corrupt)?;
        let waiting = query("SELECT CAST(SUM(waiting + named) AS SIGNED) FROM lanes");
        let waiting = self.one(waiting).await?.ok_or_else(corrupt)?;
        // What is numbered already in this transaction is not written yet.
        self.number = self.number.max(Some(number(&lane, 1)?));
        Ok(Gate { closed_until: time(&lane, 0)?, waiting: count(&waiting, 0)? })
    }

    /// The end of the last window that is closed. Another may be while the transaction runs, unless the gate was passed.
    pub(crate) async fn closed_until(&mut self) -> Done<Timestamp> {
        let row = self.one(query("SELECT closed_until FROM state")).await?;
        Ok(time(&row.ok_or_else(corrupt)?, 0)?)
    }

    /// The place of the next gathered row. The gate has to be passed first: rows of a lane are numbered in the order in which they are committed.
    pub(crate) async fn next_place(&mut self) -> Done<i64> {
        if self.number.is_none() {
            self.pass_gate().await?;
        }
        let number = self.number.unwrap_or_default() + 1;
        self.number = Some(number);
        Ok(place(self.lane.id(), number))
    }

    /// Waits until it is our turn to change who is in which cohort, or to wake one. Until the transaction is over it is nobody else's.
    pub(crate) async fn take_members_turn(&mut self) -> Done<()> {
        if !self.has_members_turn {
            self.take_turn("members").await?;
            self.has_members_turn = true;
        }
        Ok(())
    }

    /// Waits for a turn. It is written, so that on Galera two nodes that have it at once cannot both commit.
    pub(crate) async fn take_turn(&mut self, name: &'static str) -> Done<()> {
        let turn = query("UPDATE turns SET turn = turn + 1 WHERE name = ?").bind(name.as_bytes());
        self.execute(turn).await.map(drop)
    }

    /// Adds what was counted to trails, those that are still kept.
    async fn write_trails(&mut self) -> Done<()> {
        let trails: Vec<(i64, Change)> = std::mem::take(&mut self.trails).into_iter().collect();
        let add =
            |column| format!("trail_counts.{column} = trail_counts.{column} + VALUES({column})");
        let added: Vec<String> = COUNTS.iter().map(add).collect();
        let names: Vec<String> = COUNTS.iter().map(|column| format!("k.{column}")).collect();
        let sql = format!(
            "INSERT INTO trail_counts (trail, lane, {}) SELECT k.trail, ?, {} FROM ({{}}) k JOIN trails t ON t.seq = k.trail
             ON DUPLICATE KEY UPDATE {}",
            COUNTS.join(", "),
            names.join(", "),
            added.join(", ")
        );
        let mut columns = vec!["trail"];
        columns.extend(COUNTS);
        for part in chunks(&trails) {
            let mut insert = query(known_rows(&sql, &columns, part.len())).bind(self.lane.id());
            for (trail, change) in part {
                insert = insert.bind(trail);
                for count in change.counts() {
                    insert = insert.bind(count);
                }
            }
            self.execute(insert).await?;
        }
        Ok(())
    }

    async fn write_devices(&mut self) -> Done<()> {
        let devices = std::mem::take(&mut self.devices).into_iter();
        let devices: Vec<((i64, i64), i64)> = devices.filter(|(_, more)| *more != 0).collect();
        for part in chunks(&devices) {
            let sql = concat!(
                "INSERT INTO device_counts (set_id, day, lane, count) VALUES {}",
                " ON DUPLICATE KEY UPDATE count = count + VALUES(count)"
            );
            let mut upsert = query(listing(sql, "(?, ?, ?, ?)", part.len()));
            for ((set_id, day), more) in part {
                upsert = upsert.bind(set_id).bind(day).bind(self.lane.id()).bind(more);
            }
            self.execute(upsert).await?;
        }
        self.write_kinds().await
    }

    async fn write_kinds(&mut self) -> Done<()> {
        let kinds = std::mem::take(&mut self.kinds).into_iter();
        let kinds: Vec<((i64, Option<Topic>), i64)> =
            kinds.filter(|(_, more)| *more != 0).collect();
        for part in chunks(&kinds) {
            let sql = concat!(
                "INSERT INTO device_kinds (set_id, topic, lane, count) VALUES {}",
                " ON DUPLICATE KEY UPDATE count = count + VALUES(count)"
            );
            let mut upsert = query(listing(sql, "(?, ?, ?, ?)", part.len()));
            for ((set_id, topic), more) in part {
                let topic = topic.as_ref().map_or("", Topic::as_str).as_bytes();
                upsert = upsert.bind(set_id).bind(topic).bind(self.lane.id()).bind(more);
            }
            self.execute(upsert).await?;
        }
        Ok(())
    }

    /// Adds what was counted to the lane.
    async fn write_lane(&mut self) -> Done<()> {
        if self.ledger.is_empty() && self.number.is_none() && self.scheduled == (0, 0) {
            return Ok(());
        }
        let update = query(concat!(
            "UPDATE lanes SET number = GREATEST(number, ?), accepted = accepted + ?, waiting = waiting + ?,",
            " collapsed = collapsed + ?, settled_sent = settled_sent + ?, settled_dead = settled_dead + ?,",
            " settled_expired = settled_expired + ?, settled_cancelled = settled_cancelled + ?,",
            " settled_payload_error = settled_payload_error + ?, settled_dry_run = settled_dry_run + ?,",
            " settled_limited = settled_limited + ?, scheduled = scheduled + ?, named = named + ? WHERE id = ?"
        ));
        let mut update = update.bind(self.number.unwrap_or_default());
        for count in self.ledger.counts() {
            update = update.bind(count);
        }
        let update = update.bind(self.scheduled.0).bind(self.scheduled.1);
        self.execute(update.bind(self.lane.id())).await.map(drop)
    }

    /// Takes note that the store takes writes.
    pub(crate) async fn note_check(&mut self, now: Timestamp) -> Done<()> {
        let update = query("UPDATE lanes SET checked_at = ? WHERE id = ?");
        self.execute(update.bind(now.as_ms()).bind(self.lane.id())).await.map(drop)
    }
}
