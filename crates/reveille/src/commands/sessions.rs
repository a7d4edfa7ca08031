//! `reveille sessions`: the session store.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use reveille_model::Duration;
use reveille_service::clock::SystemClock;
use reveille_service::config::Document;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::supervisor;
use reveille_service::telemetry::{LogFormat, start_logs, start_metrics};
use reveille_service::traces;
use reveille_sessions::{
    BUCKETS, CassandraConfig, CassandraTls, DeleteConsistency, Login, Parts, SessionsConfig,
    SessionsServer, SessionsStoreUrl, describe_metrics,
};
use reveille_store::Sessions;
use reveille_store_cassandra::{CassandraSessions, CassandraSettings, DeleteAnswer, Tls};
use reveille_store_sqlite::SqliteSessions;
use tracing_subscriber::filter::LevelFilter;

use super::load::whole;
use super::reference::kask::{self, Kask};
use crate::cli::SessionsArguments;
use crate::failure::Failure;

/// How long a stop may take: what is under way is answered.
const GRACE: Duration = Duration::from_s(25);

pub(crate) async fn run(arguments: &SessionsArguments) -> Result<(), Failure> {
    let Kask { mut config, level, ignored } = match (&arguments.config, &arguments.kask_config) {
        (None, Some(path)) => kask::config(path)?,
        (path, _) => {
            let document = Document::load(path.as_deref().unwrap_or(Path::new("")))?;
            let config = whole(SessionsConfig::read(&document), &document)?;
            Kask { config, level: LevelFilter::INFO, ignored: Vec::new() }
        }
    };
    start_logs(LogFormat::Json, level);
    for ignored in ignored {
        tracing::warn!(ignored, "Kask's configuration");
    }
    let metrics = start_metrics(&BUCKETS).context("cannot collect metrics")?;
    describe_metrics();
    let clock = Arc::new(SystemClock);
    let tracing = config.tracing.take();
    let (traces, exporting) =
        traces::start(tracing, "reveille-sessions", clock).map_err(anyhow::Error::msg)?;
    let lifecycle = Lifecycle::default();
    lifecycle.stop_on_signals().context("cannot listen for signals")?;
    let opened = tokio::select! {
        opened = open(&config.store, &lifecycle) => opened?,
        // Asked to stop before there was anything to be stopped.
        () = lifecycle.stopping() => return Ok(()),
    };
    let store = opened.store();
    let server = SessionsServer::bind(
        config,
        Parts { store, clock: Arc::new(SystemClock), metrics, traces },
    );
    server.await?.start(&lifecycle);
    supervisor::started(&lifecycle);
    let ended = lifecycle.finish(GRACE).await;
    exporting.finish().await;
    opened.close();
    Ok(ended?)
}

/// A store that is open.
pub(crate) enum Opened {
    Sqlite(Arc<SqliteSessions>),
    Cassandra(Arc<CassandraSessions>),
}

impl Opened {
    pub(crate) fn store(&self) -> Arc<dyn Sessions> {
        match self {
            Self::Sqlite(store) => Arc::<SqliteSessions>::clone(store),
            Self::Cassandra(store) => Arc::<CassandraSessions>::clone(store),
        }
    }

    /// Waits until another process may open it.
    pub(crate) fn close(self) {
        match self {
            Self::Sqlite(store) => match Arc::try_unwrap(store) {
                Ok(store) => store.close(),
                Err(_) => {
                    tracing::warn!("the store is in use to the end of the process");
                }
            },
            // Every answer that was given is in Cassandra.
            Self::Cassandra(_) => {}
        }
    }
}

/// Opens the store a configuration names. Where it ends by itself, so does the process.
pub(crate) async fn open(
    store: &SessionsStoreUrl,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Opened> {
    match store {
        SessionsStoreUrl::Sqlite(database) => {
            let opened = SqliteSessions::open(database);
            let store =
                opened.with_context(|| format!("cannot open the store {}", database.display()))?;
            let (ended, stopping) = (store.writer_ended(), lifecycle.clone());
            lifecycle.spawn("store", async move {
                tokio::select! {
                    () = ended => {}
                    () = stopping.stopping() => {}
                }
            });
            Ok(Opened::Sqlite(Arc::new(store)))
        }
        SessionsStoreUrl::Cassandra(config) => {
            let store = CassandraSessions::open(settings(config)).await?;
            Ok(Opened::Cassandra(Arc::new(store)))
        }
    }
}

/// What the configuration says, in the words of the engine.
pub(crate) fn settings(config: &CassandraConfig) -> CassandraSettings {
    let CassandraConfig { hosts, keyspace, table, dc, .. } = config.clone();
    let tls =
        config.tls.clone().map(|CassandraTls { ca_file, identity }| Tls { ca_file, identity });
    CassandraSettings {
        hosts,
        keyspace,
        table,
        dc,
        login: config.login.clone().map(|Login { username, password }| (username, password)),
        tls,
        delete_answer: match config.delete_consistency {
            DeleteConsistency::EachQuorum => DeleteAnswer::EachQuorum,
            DeleteConsistency::LocalQuorum => DeleteAnswer::LocalQuorum,
        },
        query_timeout: config.query_timeout,
        connect_timeout: config.connect_timeout,
        speculative_after: config.speculative_after,
    }
}
