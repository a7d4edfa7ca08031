//! Logs and metrics of a process.

use std::sync::Arc;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use reveille_model::Duration;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock::Clock;
use crate::lifecycle::Lifecycle;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// For a terminal.
    Text,
}

/// Starts logging to standard error. Ours from `level` on, of libraries only warnings: their debug lines may hold what must not be
/// printed.
pub fn start_logs(format: LogFormat, level: LevelFilter) {
    let targets = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_targets(PARTS.map(|name| (format!("reveille_{name}"), level)));
    let targets = targets.with_target("reveille", level);
    let registry = tracing_subscriber::registry().with(targets);
    let started = match format {
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
        LogFormat::Text => registry
            .with(tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr))
            .try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging had been started before");
    }
    std::panic::set_hook(Box::new(|info| {
        // Not the payload: whatever it was made of must not reach a log.
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a task panicked");
    }));
}

/// Our crates that have something to say.
const PARTS: [&str; 8] = [
    "push",
    "sessions",
    "service",
    "providers",
    "store_sqlite",
    "store_mariadb",
    "store_cassandra",
    "sandbox",
];

/// Upper bounds of the buckets of everything measured in seconds: from a group commit to a minute.
const SECONDS: [f64; 15] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

/// How often what was measured is put into its buckets.
const FOLD_EVERY: Duration = Duration::from_s(5);

/// Puts what was measured into its buckets, until the lifecycle stops. Each measurement is kept until then, or until somebody asks.
pub async fn fold_metrics(metrics: PrometheusHandle, clock: Arc<dyn Clock>, lifecycle: Lifecycle) {
    while !lifecycle.is_stopping() {
        metrics.run_upkeep();
        tokio::select! {
            () = clock.sleep(FOLD_EVERY) => {}
            () = lifecycle.stopping() => {}
        }
    }
}

/// Starts collecting metrics for this process and returns what renders them. [`fold_metrics`] has to run beside.
///
/// `buckets` has the upper bounds of what is measured in another unit than seconds, or over longer times, by the metric's name.
pub fn start_metrics(buckets: &[(&str, &[f64])]) -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?;
    for (name, bounds) in buckets {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)?;
    }
    builder.install_recorder()
}
