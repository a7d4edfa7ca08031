//! `reveille push`: the push server.

use std::sync::Arc;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use reveille_model::Duration;
use reveille_push::{Parts, PushConfig, PushServer, describe_metrics, senders};
use reveille_service::clock::{Clock, SystemClock};
use reveille_service::lifecycle::Lifecycle;
use reveille_service::supervisor;
use reveille_service::telemetry::{LogFormat, start_logs, start_metrics};
use reveille_service::traces::{self, Traces};
use tracing_subscriber::filter::LevelFilter;

use super::load::push_config;
use super::reference;
use super::store::OpenStore;
use crate::cli::PushArguments;
use crate::failure::Failure;

/// How long a stop may take: what is in flight gets ten seconds, the rest is for settling it.
const GRACE: Duration = Duration::from_s(25);

pub(crate) async fn run(arguments: PushArguments) -> Result<(), Failure> {
    let (mut config, ignored) = match &arguments.config {
        Some(path) => (push_config(path)?, Vec::new()),
        None => reference::push::config(&arguments.reference)?,
    };
    start_logs(LogFormat::Json, LevelFilter::INFO);
    for ignored in ignored {
        tracing::warn!(ignored, "the reference service's configuration");
    }
    for warning in config.warnings(SystemClock.now()) {
        tracing::warn!(warning, "configuration");
    }
    let buckets = config.buckets();
    let buckets: Vec<(&str, &[f64])> =
        buckets.iter().map(|(name, bounds)| (*name, bounds.as_slice())).collect();
    let metrics = start_metrics(&buckets).context("cannot collect metrics")?;
    let tracing = config.tracing.take();
    let (traces, exporting) = traces::start(tracing, "reveille-push", Arc::new(SystemClock))
        .map_err(anyhow::Error::msg)?;
    let store = OpenStore::open(&config.store).await?;
    let lifecycle = Lifecycle::default();
    lifecycle.stop_on_signals().context("cannot listen for signals")?;
    start(config, &store, (metrics, traces), &lifecycle).await?;
    supervisor::started(&lifecycle);
    let ended = lifecycle.finish(GRACE).await;
    exporting.finish().await;
    store.close().await;
    Ok(ended?)
}

/// Starts a push server on an open store.
pub(crate) async fn start(
    mut config: PushConfig,
    store: &OpenStore,
    (metrics, traces): (PrometheusHandle, Traces),
    lifecycle: &Lifecycle,
) -> Result<(), Failure> {
    describe_metrics();
    store.watch(lifecycle);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mix = config.mix();
    let (senders, reloads, expiries) = senders(std::mem::take(&mut config.providers), &clock)?;
    let store = store.shared();
    let parts = Parts { store, clock, senders, reloads, metrics, expiries, mix, traces };
    let server = PushServer::bind(config, parts).await?;
    Box::pin(server.start(lifecycle)).await?;
    Ok(())
}
