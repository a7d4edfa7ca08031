//! Opening and closing.

use std::sync::Arc;

use reveille_model::{Duration, Timestamp};
use reveille_vault::BlindKey;
use sqlx::MySqlPool;
use tokio::task::JoinSet;

use crate::connect::{check_settings, connect, masters, replica};
use crate::engine::{Engine, Masters, NODES_MAX, Node};
use crate::moving::refuse_unfinished;
use crate::outbox::{Intake, reopen_future_windows};
use crate::{MariaDbError, MariaDbSettings, SCHEMA_VERSION, migrations, sealing};

/// The store of many nodes. Any number of processes may have a database open.
#[derive(Debug)]
pub struct MariaDbStore {
    pub(crate) engine: Arc<Engine>,
    pub(crate) intake: Intake,
    /// They end with the store.
    _tasks: JoinSet<()>,
}

impl MariaDbStore {
    /// Opens a database whose schema is this version's, and takes a place among its nodes. `now` has to agree with the database's clock.
    pub async fn open(settings: MariaDbSettings, now: Timestamp) -> Result<Self, MariaDbError> {
        let pool = connect(&settings).await?;
        check_settings(&pool).await?;
        migrations::check(&pool).await?;
        let vault = sealing::unlock(&pool, &settings.key_file).await?;
        let node = enter(&pool).await?;
        let bounds = (settings.transaction_timeout, settings.clock_skew_max);
        let masters = masters(&mut *pool.acquire().await?).await?;
        let pools = (pool.clone(), replica(&settings)?);
        let engine = Engine::new(pools, vault, node.clone(), bounds, masters);
        let engine = Arc::new(engine);
        agree(&engine, now).await?;
        // Others' clocks may be ahead of ours, as far as is allowed, and of the database's.
        let skew = settings.clock_skew_max.unwrap_or_default();
        let latest = now.plus(Duration::from_ms(2 * u64::try_from(skew.as_millis()).unwrap_or(0)));
        engine.write(&latest, |tables, now| Box::pin(reopen_future_windows(tables, *now))).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(node.stay(pool));
        let intake = Intake::start(&engine, &mut tasks);
        Ok(Self { engine, intake, _tasks: tasks })
    }

    /// Brings a database to this version's schema. Returns the version it had and the one it has.
    pub async fn migrate(settings: &MariaDbSettings) -> Result<(i64, i64), MariaDbError> {
        let pool = connect(settings).await?;
        check_settings(&pool).await?;
        let had = migrations::migrate(&pool).await?;
        sealing::unlock(&pool, &settings.key_file).await?;
        pool.close().await;
        Ok((had, SCHEMA_VERSION))
    }

    /// Tries a database: its settings, its schema, its key, its clock, and whether it takes writes. Takes no place among its nodes.
    pub async fn check(settings: &MariaDbSettings, now: Timestamp) -> Result<(), MariaDbError> {
        let pool = connect(settings).await?;
        check_settings(&pool).await?;
        migrations::check(&pool).await?;
        refuse_unfinished(&pool).await?;
        let vault = sealing::unlock(&pool, &settings.key_file).await?;
        let bounds = (settings.transaction_timeout, settings.clock_skew_max);
        if let Some(replica) = replica(settings)? {
            migrations::check(&replica).await?;
            replica.close().await;
        }
        let pools = (pool.clone(), None);
        let engine = Engine::new(pools, vault, Node::outside(), bounds, Masters::One);
        agree(&engine, now).await?;
        engine.write(&now, |tables, now| Box::pin(tables.note_check(*now))).await?;
        pool.close().await;
        Ok(())
    }

    /// Leaves its place to others, and ends its connections.
    pub async fn close(self) {
        if let Err(error) = self.engine.node.leave(&self.engine.pool).await {
            let error = reveille_store::StoreError::from(error);
            tracing::warn!(%error, "the other nodes will miss us for a moment");
        }
        self.engine.close().await;
    }
}

async fn enter(pool: &MySqlPool) -> Result<Node, MariaDbError> {
    let id = BlindKey::fresh().first_chunk().copied().unwrap_or_default();
    let entered = Node::enter(pool, id).await.map_err(reveille_store::StoreError::from)?;
    let node = entered.ok_or(MariaDbError::Crowded(NODES_MAX))?;
    // Looked at second: whoever fills the database looks for nodes after saying so.
    if let Err(refused) = refuse_unfinished(pool).await {
        node.leave(pool).await.map_err(reveille_store::StoreError::from)?;
        return Err(refused);
    }
    Ok(node)
}

async fn agree(engine: &Engine, now: Timestamp) -> Result<(), MariaDbError> {
    let Some(max) = engine.clock_skew_max else { return Ok(()) };
    let theirs = engine.now_us().await.map_err(reveille_store::StoreError::from)?;
    let off_ms = now.as_ms() - theirs / 1_000;
    let max_ms = i64::try_from(max.as_millis()).unwrap_or(i64::MAX);
    if off_ms.abs() <= max_ms { Ok(()) } else { Err(MariaDbError::Clock { off_ms, max_ms }) }
}
