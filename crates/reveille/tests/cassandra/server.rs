//! A whole session store in a data centre.

use std::sync::{Arc, LazyLock};

use http::Method;
use metrics_exporter_prometheus::PrometheusHandle;
use reveille_service::clock::SystemClock;
use reveille_service::config::Document;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::telemetry::start_metrics;
use reveille_service::traces::Traces;
use reveille_sessions::{BUCKETS, Parts, SessionsConfig, SessionsServer};
use reveille_store_cassandra::{CassandraSessions, CassandraSettings};
use reveille_testkit::Client;

static METRICS: LazyLock<PrometheusHandle> = LazyLock::new(|| start_metrics(&BUCKETS).unwrap());

/// A running one.
pub(crate) struct Running {
    pub(crate) client: Client,
    lifecycle: Lifecycle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

impl Running {
    pub(crate) async fn start(settings: CassandraSettings) -> Self {
        let store = Arc::new(CassandraSessions::open(settings).await.unwrap());
        let text = "[sessions]\nlisten = \"127.0.0.1:0\"\nstore = \"sqlite:unused\"\n";
        let document = Document::parse(text, "".into()).unwrap();
        let config = SessionsConfig::read(&document).unwrap();
        let (clock, metrics) = (Arc::new(SystemClock), METRICS.clone());
        let parts = Parts { store, clock, metrics, traces: Traces::default() };
        let server = SessionsServer::bind(config, parts).await.unwrap();
        let client = Client::new(&format!("http://{}", server.address()));
        let lifecycle = Lifecycle::default();
        server.start(&lifecycle);
        Self { client, lifecycle }
    }

    pub(crate) async fn ask(&self, method: Method, key: &str, body: &str) -> (u16, String) {
        let path = format!("/sessions/v1/{key}");
        let answer = self.client.call(method, &path, &[], body.into()).await;
        (answer.status.as_u16(), answer.text)
    }

    pub(crate) async fn status(&self, method: Method, key: &str, body: &str) -> u16 {
        self.ask(method, key, body).await.0
    }
}
