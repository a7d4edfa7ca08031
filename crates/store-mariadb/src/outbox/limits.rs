//! How many notifications of an event type users had in a period, counted exactly however many nodes count.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::{EventType, Limit, Timestamp, User};
use reveille_vault::Vault;

use crate::codec::{array, number, text};
use crate::engine::Tables;
use crate::error::Done;
use crate::rows::{chunks, listing};
use crate::statement::query;

/// What the counter of a user's notifications of one type is found by.
pub(crate) fn counter_key(vault: &Vault, user: &User, event_type: &EventType) -> [u8; 16] {
    vault.blind("limit", &[user.expose().as_bytes(), event_type.as_str().as_bytes()])
}

#[derive(Debug, Clone, Copy)]
struct Counter {
    key: [u8; 16],
    ends_at: i64,
    count: i64,
    has_changed: bool,
}

/// Counters that are ours until the transaction is over.
#[derive(Debug, Default)]
pub(super) struct Counters(BTreeMap<(User, EventType), Counter>);

impl Counters {
    /// Takes counters, in the order of their keys, so that two transactions rarely wait for each other.
    pub(super) async fn load(
        tables: &mut Tables<'_>,
        wanted: BTreeSet<(User, EventType)>,
    ) -> Done<Self> {
        let mut of: BTreeMap<(String, [u8; 16]), (User, EventType)> = BTreeMap::new();
        for (user, event_type) in wanted {
            let key = counter_key(tables.vault(), &user, &event_type);
            of.insert((event_type.as_str().to_owned(), key), (user, event_type));
        }
        let keys: Vec<&(String, [u8; 16])> = of.keys().collect();
        let mut counters = BTreeMap::new();
        for part in chunks(&keys) {
            // Whoever else makes one is waited for: there is something to be locked.
            let sql =
                "INSERT IGNORE INTO limit_counters (event_type, counter, ends_at, count) VALUES {}";
            let mut insert = query(listing(sql, "(?, ?, 0, 0)", part.len()));
            for (event_type, key) in part {
                insert = insert.bind(event_type.as_bytes()).bind(key.as_slice());
            }
            tables.execute(insert).await?;
            let sql = concat!(
                "SELECT event_type, counter, ends_at, count FROM limit_counters WHERE {}",
                " ORDER BY event_type, counter FOR UPDATE"
            );
            let any = vec!["event_type = ? AND counter = ?"; part.len()].join(" OR ");
            let mut select = query(listing(&sql.replacen("{}", &any, 1), "", 0));
            for (event_type, key) in part {
                select = select.bind(event_type.as_bytes()).bind(key.as_slice());
            }
            for row in tables.all(select).await? {
                let found = (text(&row, 0)?, array(&row, 1)?);
                let counter = Counter {
                    key: found.1,
                    ends_at: number(&row, 2)?,
                    count: number(&row, 3)?,
                    has_changed: false,
                };
                if let Some(whose) = of.get(&found) {
                    counters.insert(whose.clone(), counter);
                }
            }
        }
        Ok(Self(counters))
    }

    /// Counts a notification to a user, and says whether that is still within the limit. Beyond it nothing is counted.
    pub(super) fn is_within(
        &mut self,
        (user, event_type): (&User, &EventType),
        (limit, now): (Limit, Timestamp),
    ) -> bool {
        let Some(counter) = self.0.get_mut(&(user.clone(), event_type.clone())) else {
            return true;
        };
        let ends_at = limit.period_end(now).as_ms();
        if counter.ends_at < ends_at {
            // A clock that was set back begins no period anew.
            (counter.ends_at, counter.count) = (ends_at, 0);
        }
        if counter.count >= i64::from(limit.count) {
            return false;
        }
        counter.count += 1;
        counter.has_changed = true;
        true
    }

    pub(super) async fn write(self, tables: &mut Tables<'_>) -> Done<()> {
        let changed = self.0.into_iter().filter(|(_, counter)| counter.has_changed);
        let changed: Vec<((User, EventType), Counter)> = changed.collect();
        for part in chunks(&changed) {
            let sql = concat!(
                "INSERT INTO limit_counters (event_type, counter, ends_at, count) VALUES {}",
                " ON DUPLICATE KEY UPDATE ends_at = VALUES(ends_at), count = VALUES(count)"
            );
            let mut upsert = query(listing(sql, "(?, ?, ?, ?)", part.len()));
            for ((_, event_type), counter) in part {
                upsert = upsert
                    .bind(event_type.as_str().as_bytes())
                    .bind(counter.key.to_vec())
                    .bind(counter.ends_at)
                    .bind(counter.count);
            }
            tables.execute(upsert).await?;
        }
        Ok(())
    }
}
