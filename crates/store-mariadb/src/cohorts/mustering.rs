//! Who decides which cohorts leave: of all nodes one, so that a batch has the company of one.
//!
//! It is asked to in the release's turn, once everything that marks cohorts for the batch has, and until it says that it is done nobody wakes any. All of it is done in the
//! members' turn, but for what is only read. A node that has not come on with it for long is taken for gone, and another one is asked; what the first one still decides then is not heard.

use reveille_model::Timestamp;
use sqlx::AssertSqlSafe;

use crate::codec::{array, flag, time};
use crate::engine::{NOW_US, Tables};
use crate::error::{Done, corrupt};
use crate::statement::query;

/// A muster that has not come on for so long is anybody's, in microseconds: between two steps of it all cohorts are read. What a node holds that is gone is given back before. Asking again is no step, so that a node at which it
/// fails whenever it is tried holds up nobody.
pub(crate) const LEFT_ALONE_US: i64 = 30_000_000;

impl Tables<'_> {
    /// Up to where it is decided.
    pub(crate) async fn mustered_until(&mut self) -> Done<Timestamp> {
        let row = self.one(query("SELECT mustered_until FROM state")).await?;
        Ok(time(&row.ok_or_else(corrupt)?, 0)?)
    }

    /// Whether another node is at it.
    pub(crate) async fn others_muster(&mut self) -> Done<bool> {
        let sql = format!("SELECT node, ABS({NOW_US} - seen_at) <= ? FROM musters");
        let Some(row) = self.one(query(AssertSqlSafe(sql)).bind(LEFT_ALONE_US)).await? else {
            return Ok(false);
        };
        let node: [u8; 16] = array(&row, 0)?;
        Ok(node != *self.engine.node.id() && flag(&row, 1)?)
    }

    /// We are asked to, whoever was before.
    pub(crate) async fn begin_muster(&mut self) -> Done<()> {
        let sql = format!(
            "INSERT INTO musters (one, node, seen_at) VALUES (1, ?, {NOW_US}) ON DUPLICATE KEY UPDATE
             seen_at = IF(node = VALUES(node), seen_at, VALUES(seen_at)), node = VALUES(node)"
        );
        let node = *self.engine.node.id();
        self.execute(query(AssertSqlSafe(sql)).bind(node.as_slice())).await.map(drop)
    }

    /// What came to these windows has to be decided about, too. Whoever was at it does not know of it.
    pub(crate) async fn muster_anew(&mut self, until: Timestamp) -> Done<()> {
        let state =
            query("UPDATE state SET mustered_until = expanded_until WHERE mustered_until >= ?");
        self.execute(state.bind(until.as_ms())).await?;
        let sql = format!("UPDATE musters SET node = ?, seen_at = {NOW_US} WHERE node <> ?");
        let node = *self.engine.node.id();
        let taken_over = query(AssertSqlSafe(sql)).bind(node.as_slice()).bind(node.as_slice());
        self.execute(taken_over).await.map(drop)
    }

    /// Whether it is we who decide.
    pub(super) async fn we_muster(&mut self, until: Timestamp) -> Done<bool> {
        if self.closed_until().await? < until {
            // It was closed by a clock that ran ahead, and is open again.
            return Ok(false);
        }
        let who = self.one(query("SELECT node FROM musters FOR UPDATE")).await?;
        let are_we = match who {
            Some(row) => array(&row, 0)? == *self.engine.node.id(),
            None => false,
        };
        if are_we {
            self.came_on().await?;
        }
        Ok(are_we)
    }

    /// It is decided. Returns whether it was we who had to.
    pub(super) async fn mustered(&mut self, until: Timestamp) -> Done<bool> {
        self.take_members_turn().await?;
        let are_we = self.we_muster(until).await?;
        if are_we {
            self.note_mustered(until).await?;
            self.execute(query("DELETE FROM musters")).await?;
        }
        Ok(are_we)
    }

    /// Nobody is to decide about these windows any more.
    pub(crate) async fn note_mustered(&mut self, until: Timestamp) -> Done<()> {
        let state = query("UPDATE state SET mustered_until = ? WHERE mustered_until < ?");
        self.execute(state.bind(until.as_ms()).bind(until.as_ms())).await.map(drop)
    }

    /// Says that we have come on with it, if it is we.
    pub(super) async fn came_on(&mut self) -> Done<()> {
        let sql = format!("UPDATE musters SET seen_at = {NOW_US} WHERE node = ?");
        let node = *self.engine.node.id();
        self.execute(query(AssertSqlSafe(sql)).bind(node.as_slice())).await.map(drop)
    }
}
