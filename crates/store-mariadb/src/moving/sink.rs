//! A database that is filled from a store of another kind.

use reveille_store::StoreError;
use reveille_store::moving::{Cell, Digest, Page, Row, Table, pack, unpack};
use reveille_vault::Vault;
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};

use super::unfinished::{CLAIMED, OVER, UNDER_WAY};
use super::{insert, select, stored};
use crate::codec::{array, count, flag, number, optional_bytes};
use crate::connect::{check_settings, connect};
use crate::engine::{NOW_US, Sets};
use crate::error::{Done, corrupt};
use crate::statement::query;
use crate::{MariaDbError, MariaDbSettings, migrations, sealing};

/// A server that was seen within this may be running, in microseconds.
const SEEN_WITHIN_US: i64 = 15_000_000;

/// A database that is filled. No server opens it until that is over.
#[derive(Debug)]
pub struct MoveSink {
    pool: MySqlPool,
    vault: Vault,
    sets: Sets,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The database has not heard of it.
    Unknown,
    /// It has begun.
    UnderWay,
    /// All of it is here.
    Over,
}

/// How far the move of a table is.
#[derive(Debug, Default)]
pub struct Reached {
    /// The place of the last row that is here.
    pub after: Option<Vec<u8>>,
    /// How many rows are.
    pub rows: u64,
    /// Whether they are all.
    pub is_whole: bool,
}

impl MoveSink {
    /// Opens a database whose schema is this version's.
    pub async fn open(settings: &MariaDbSettings) -> Result<Self, MariaDbError> {
        let pool = connect(settings).await?;
        check_settings(&pool).await?;
        migrations::check(&pool).await?;
        let vault = sealing::unlock(&pool, &settings.key_file).await?;
        Ok(Self { pool, vault, sets: Sets::default() })
    }

    /// The same for two stores that are sealed with one key, and tells nothing of it.
    pub fn fingerprint(&self) -> [u8; 16] {
        self.vault.blind("moving", &[])
    }

    /// How far a move is. Another one's is refused.
    pub async fn standing(&self, id: [u8; 16]) -> Result<Standing, MariaDbError> {
        let found = query("SELECT id, state FROM moves").fetch_optional(&self.pool).await?;
        let Some(row) = found else { return Ok(Standing::Unknown) };
        if array::<16>(&row, 0)? != id {
            return Err(MariaDbError::AnotherMove);
        }
        Ok(if number(&row, 1)? == OVER { Standing::Over } else { Standing::UnderWay })
    }

    /// Begins a move, or goes on with it. From now on no server opens the database; one that has it open, or anything in it, is refused.
    pub async fn begin(&self, id: [u8; 16]) -> Result<(), MariaDbError> {
        let claim = query("INSERT IGNORE INTO moves (one, id, state) VALUES (1, ?, ?)");
        claim.bind(id.to_vec()).bind(CLAIMED).execute(&self.pool).await?;
        self.standing(id).await?;
        let state = query("SELECT state FROM moves").fetch_one(&self.pool).await?;
        if number(&state, 0)? != CLAIMED {
            return Ok(());
        }
        if let Err(refused) = self.refuse_used().await {
            let release = query("DELETE FROM moves WHERE state = ?").bind(CLAIMED);
            release.execute(&self.pool).await?;
            return Err(refused);
        }
        Ok(self.clear().await.map_err(StoreError::from)?)
    }

    async fn refuse_used(&self) -> Result<(), MariaDbError> {
        // Whoever opens the database says so before looking whether it is being filled.
        let sql = format!("SELECT COUNT(*) FROM nodes WHERE seen_at >= {NOW_US} - ?");
        let nodes = query(AssertSqlSafe(sql)).bind(SEEN_WITHIN_US).fetch_one(&self.pool).await?;
        if count(&nodes, 0)? > 0 {
            return Err(MariaDbError::Served(count(&nodes, 0)?));
        }
        let kept =
            |table: &Table| !matches!(table, Table::Keys | Table::CredentialSets | Table::State);
        for table in Table::ALL.iter().filter(|table| kept(table)) {
            let sql = format!("SELECT 1 FROM {} LIMIT 1", select::name(*table));
            if query(AssertSqlSafe(sql)).fetch_optional(&self.pool).await?.is_some() {
                return Err(MariaDbError::NotEmpty(table.as_str()));
            }
        }
        let counted = query("SELECT 1 FROM lanes WHERE accepted <> 0 OR number <> 0 LIMIT 1");
        match counted.fetch_optional(&self.pool).await? {
            Some(_) => Err(MariaDbError::NotEmpty("lanes")),
            None => Ok(()),
        }
    }

    /// What a server makes that only looked in goes.
    async fn clear(&self) -> Done<()> {
        let mut transaction = self.pool.begin().await?;
        for sql in [
            "DELETE FROM secret_keys",
            "DELETE FROM credential_sets",
            "DELETE FROM held_wakeups",
            "DELETE FROM moved_tables",
        ] {
            query(sql).execute(&mut *transaction).await?;
        }
        let update = query("UPDATE moves SET state = ?").bind(UNDER_WAY);
        update.execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// How far the move of a table is. Waits for what a process before has left under way.
    pub async fn reached(&self, table: Table) -> Result<Reached, MariaDbError> {
        let note =
            query("INSERT IGNORE INTO moved_tables (name, count, is_whole) VALUES (?, 0, 0)");
        note.bind(table.as_str().as_bytes()).execute(&self.pool).await?;
        let select = "SELECT reached, count, is_whole FROM moved_tables WHERE name = ? FOR UPDATE";
        let row = query(select).bind(table.as_str().as_bytes()).fetch_one(&self.pool).await?;
        Ok(Reached {
            after: optional_bytes(&row, 0)?,
            rows: count(&row, 1)?,
            is_whole: flag(&row, 2)?,
        })
    }

    /// Writes the next page of a table, and how far that came. An empty one: that is all.
    pub async fn write(
        &self,
        table: Table,
        after: Option<&[u8]>,
        page: &Page,
    ) -> Result<(), MariaDbError> {
        let written = self.write_page((table, after), page).await;
        if written.map_err(StoreError::from)? { Ok(()) } else { Err(MariaDbError::Overtaken) }
    }

    async fn write_page(&self, (table, after): (Table, Option<&[u8]>), page: &Page) -> Done<bool> {
        let sets = (&self.sets, &self.pool);
        let inserts = match table {
            Table::State => Vec::new(),
            _ => insert::prepare((table, &page.rows), &self.vault, sets).await?,
        };
        let mut transaction = self.pool.begin().await?;
        if !note(&mut transaction, (table, after), page).await? {
            return Ok(false);
        }
        insert::execute(&mut transaction, &inserts).await?;
        if let (Table::State, Some(row)) = (table, page.rows.first()) {
            insert::write_state(&mut transaction, row).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// No row of a table gets a number up to this any more.
    pub async fn count_on(&self, table: Table, greatest: i64) -> Result<(), MariaDbError> {
        let (name, next) = (select::name(table), greatest.saturating_add(1));
        let alter = AssertSqlSafe(format!("ALTER TABLE {name} AUTO_INCREMENT = {next}"));
        sqlx::raw_sql(alter).execute(&self.pool).await?;
        Ok(())
    }

    /// Adds rows that came from elsewhere to what they come to.
    pub fn add(&self, table: Table, rows: &[Row], digest: &mut Digest) -> Result<(), MariaDbError> {
        for row in rows {
            let made = stored::make((table, row), &self.vault).map_err(StoreError::from)?;
            let whole: Row = row.iter().cloned().chain(made).collect();
            digest.add(stored::hash(table, &whole, &self.vault));
        }
        Ok(())
    }

    /// Adds the next rows that are here. Returns the place of the last one; nothing where there are no more.
    pub async fn add_own(
        &self,
        table: Table,
        after: Option<Vec<u8>>,
        digest: &mut Digest,
    ) -> Result<Option<Vec<u8>>, MariaDbError> {
        let added = self.add_page((table, after), digest).await;
        Ok(added.map_err(StoreError::from)?)
    }

    async fn add_page(
        &self,
        (table, after): (Table, Option<Vec<u8>>),
        digest: &mut Digest,
    ) -> Done<Option<Vec<u8>>> {
        let after = after.map(|packed| unpack(&packed).ok_or_else(corrupt)).transpose()?;
        let sql = AssertSqlSafe(select::page(table, after.as_deref()));
        let places: Vec<Cell> = after.map(select::bound).unwrap_or_default();
        let limit = i64::try_from(table.page_rows()).unwrap_or(i64::MAX);
        let select = places.iter().fold(query(sql), insert::bind).bind(limit);
        let mut last = None;
        for row in select.fetch_all(&self.pool).await? {
            let (stands, cells) = stored::read(table, &row, &self.vault)?;
            digest.add(stored::hash(table, &cells, &self.vault));
            last = Some(pack(&stands));
        }
        Ok(last)
    }

    /// All of it is here: servers may open the database.
    pub async fn finish(self) -> Result<(), MariaDbError> {
        // What waits with a quarantined device is found by it.
        let held =
            "INSERT IGNORE INTO held_wakeups SELECT held, id FROM wakeups WHERE held IS NOT NULL";
        query(held).execute(&self.pool).await?;
        // What is counted where it changes.
        for counted in [
            "REPLACE INTO device_counts SELECT set_id, refresh_day, 0, COUNT(*) FROM subscriptions GROUP BY set_id, refresh_day",
            "REPLACE INTO device_kinds SELECT set_id, COALESCE(topic, ''), 0, COUNT(*) FROM subscriptions GROUP BY set_id, COALESCE(topic, '')",
            "UPDATE lanes SET scheduled = (SELECT COUNT(*) FROM scheduled), named = (SELECT COALESCE(SUM(named), 0) FROM scheduled) WHERE id = 0",
        ] {
            query(counted).execute(&self.pool).await?;
        }
        query("UPDATE moves SET state = ?").bind(OVER).execute(&self.pool).await?;
        query("DELETE FROM moved_tables").execute(&self.pool).await?;
        self.close().await;
        Ok(())
    }

    /// Ends its connections.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

/// Takes note of how far the move of a table comes with a page. Returns whether it is the page that comes next.
async fn note(
    connection: &mut MySqlConnection,
    (table, after): (Table, Option<&[u8]>),
    page: &Page,
) -> Done<bool> {
    let update = query(concat!(
        "UPDATE moved_tables SET reached = ?, count = count + ?, is_whole = ?",
        " WHERE name = ? AND reached <=> ? AND is_whole = 0"
    ));
    let is_whole = page.rows.is_empty();
    let reached = if is_whole { after } else { Some(page.reached.as_slice()) };
    let update = update.bind(reached).bind(i64::try_from(page.rows.len()).unwrap_or(i64::MAX));
    let update = update.bind(is_whole).bind(table.as_str().as_bytes()).bind(after);
    Ok(update.execute(connection).await?.rows_affected() == 1)
}
