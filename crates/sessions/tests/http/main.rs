//! The session store over HTTP: a whole server on the reference model, with a clock that the test moves.
#![cfg(test)]

mod captured;
mod contract;
mod entries;
mod hostile;
mod namespaces;
mod raw;

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use metrics_exporter_prometheus::PrometheusHandle;
use reveille_model::{Duration, Timestamp};
use reveille_service::config::Document;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::telemetry::start_metrics;
use reveille_service::traces::Traces;
use reveille_sessions::{BUCKETS, Parts, SessionsConfig, SessionsServer, describe_metrics};
use reveille_store::Sessions;
use reveille_store::memory::MemorySessions;
use reveille_testkit::{Answer, Client, Dir, ManualClock};

use raw::Connection;

/// One for the process, which may have one only.
static METRICS: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    let handle = start_metrics(&BUCKETS).unwrap();
    describe_metrics();
    handle
});

const BASE: &str = "/sessions/v1/";

/// A running session store.
struct App {
    client: Client,
    address: SocketAddr,
    clock: Arc<ManualClock>,
    lifecycle: Lifecycle,
    _dir: Dir,
}

impl Drop for App {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

impl App {
    async fn start(more: &str) -> Self {
        Self::start_on(Arc::new(MemorySessions::default()), more, &[]).await
    }

    /// With more lines of `[sessions]`, and files beside the configuration.
    async fn start_on(store: Arc<dyn Sessions>, more: &str, files: &[(&str, &str)]) -> Self {
        let dir = Dir::new();
        for (name, text) in files {
            std::fs::write(dir.join(name), text).unwrap();
        }
        let text =
            format!("[sessions]\nlisten = \"127.0.0.1:0\"\nstore = \"sqlite:unused.db\"\n{more}");
        let document = Document::parse(&text, dir.join("")).unwrap();
        let config = SessionsConfig::read(&document);
        assert_eq!(document.problems().take(), []);
        let clock = Arc::new(ManualClock::new(Timestamp::from_ms(1_795_250_000_000)));
        let parts = Parts {
            store,
            clock: Arc::<ManualClock>::clone(&clock),
            metrics: METRICS.clone(),
            traces: Traces::default(),
        };
        let server = SessionsServer::bind(config.unwrap(), parts).await.unwrap();
        let address = server.address();
        let lifecycle = Lifecycle::default();
        server.start(&lifecycle);
        let client = Client::new(&format!("http://{address}"));
        Self { client, address, clock, lifecycle, _dir: dir }
    }

    /// One request about a key, as it is written in the path.
    async fn ask(&self, method: &str, key: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let method = method.parse().unwrap();
        self.client.call(method, &format!("{BASE}{key}"), headers, body.into()).await
    }

    async fn status(&self, method: &str, key: &str, headers: &[(&str, &str)], body: &str) -> u16 {
        self.ask(method, key, headers, body).await.status.as_u16()
    }

    async fn connect(&self) -> Connection {
        Connection::new(self.address).await
    }

    fn pass(&self, seconds: u32) {
        self.clock.advance(Duration::from_s(seconds));
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}
