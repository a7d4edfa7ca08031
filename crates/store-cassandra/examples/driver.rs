//! The benchmark of sessions on Cassandra without HTTP, and its bare peers: the driver alone, with the statements of the store, and the driver
//! behind a hyper handler that does nothing else.
//!
//! `driver HOST:PORT KEYSPACE alone|engine get|set TASKS KEYS SECONDS` prints operations a second, of so many tasks on so many keys: of the
//! driver alone, or of the engine as `reveille sessions` opens it.
//! `driver HOST:PORT KEYSPACE serve PORT` answers GET and POST of a key, which is the last segment of the path.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reveille_model::{Duration as ModelDuration, Namespace, SessionKey, Timestamp, Ttl};
use reveille_store::{Condition, Quota, Sessions, Write};
use reveille_store_cassandra::{CassandraSessions, CassandraSettings, DeleteAnswer};
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The driver and the two statements.
struct Driver {
    session: Session,
    get: PreparedStatement,
    set: PreparedStatement,
}

const USAGE: &str =
    "usage: driver HOST:PORT KEYSPACE (alone|engine get|set TASKS KEYS SECONDS | serve PORT)";
/// How long entries live.
const TTL_S: u32 = 86_400;

/// What is asked.
enum Store {
    Alone(Box<Driver>),
    /// Behind its trait, and with a namespace, as the server has it.
    Engine(Arc<dyn Sessions>, Namespace),
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [host, keyspace, "serve", port] => {
            serve(Arc::new(Driver::new(host, keyspace).await?), port.parse()?).await
        }
        [host, keyspace, who, operation @ ("get" | "set"), tasks, keys, seconds] => {
            let store = match *who {
                "alone" => Store::Alone(Box::new(Driver::new(host, keyspace).await?)),
                "engine" => Store::engine(host, keyspace).await?,
                _ => return Err(USAGE.into()),
            };
            let numbers = [tasks.parse()?, keys.parse()?, seconds.parse()?];
            let rate = load(&Arc::new(store), operation, numbers).await?;
            writeln!(std::io::stdout(), "{rate}")?;
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

impl Driver {
    async fn new(host: &str, keyspace: &str) -> Result<Self, Failure> {
        let nodes = DefaultPolicy::builder().token_aware(true).permit_dc_failover(false);
        let profile = ExecutionProfile::builder()
            .consistency(Consistency::LocalQuorum)
            .request_timeout(Some(Duration::from_secs(2)))
            .load_balancing_policy(nodes.prefer_datacenter("dc1".to_owned()).build())
            .build();
        let session = SessionBuilder::new()
            .known_node(host)
            .pool_size(PoolSize::PerHost(2.try_into()?))
            .keyspaces_to_fetch([keyspace])
            .fetch_full_schema_metadata(false)
            .default_execution_profile_handle(profile.into_handle())
            .build()
            .await?;
        let table = format!("\"{keyspace}\".\"values\"");
        let set = format!("INSERT INTO {table} (key, value) VALUES (?, ?) USING TTL ?");
        let get = format!("SELECT value, TTL(value) AS ttl FROM {table} WHERE key = ?");
        let (mut set, mut get) = (session.prepare(set).await?, session.prepare(get).await?);
        set.set_use_cached_result_metadata(true);
        get.set_use_cached_result_metadata(true);
        Ok(Self { session, get, set })
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, Failure> {
        let rows = self.session.execute_unpaged(&self.get, (key,)).await?.into_rows_result()?;
        let row = rows.maybe_first_row::<(Option<Bytes>, Option<i32>)>()?;
        Ok(row.and_then(|(value, _)| value))
    }

    async fn set(&self, key: &str, value: &Bytes) -> Result<(), Failure> {
        let values = (key, value, i32::try_from(TTL_S)?);
        self.session.execute_unpaged(&self.set, values).await?;
        Ok(())
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Failure> {
        let path = request.uri().path().to_owned();
        let key = path.rsplit('/').next().unwrap_or_default();
        let mut response = Response::default();
        if request.method() == Method::POST {
            self.set(key, &request.into_body().collect().await?.to_bytes()).await?;
            *response.status_mut() = StatusCode::CREATED;
        } else {
            match self.get(key).await? {
                Some(value) => *response.body_mut() = Full::new(value),
                None => *response.status_mut() = StatusCode::NOT_FOUND,
            }
        }
        Ok(response)
    }
}

impl Store {
    /// With the settings that `reveille sessions` has by itself.
    async fn engine(host: &str, keyspace: &str) -> Result<Self, Failure> {
        let settings = CassandraSettings {
            hosts: vec![host.to_owned()],
            keyspace: keyspace.to_owned(),
            table: "values".to_owned(),
            dc: Some("dc1".to_owned()),
            login: None,
            tls: None,
            delete_answer: DeleteAnswer::EachQuorum,
            query_timeout: ModelDuration::from_ms(2_000),
            connect_timeout: ModelDuration::from_ms(5_000),
            speculative_after: Some(ModelDuration::from_ms(500)),
        };
        let engine = CassandraSessions::open(settings).await?;
        Ok(Self::Engine(Arc::new(engine), Namespace::parse("default")?))
    }

    async fn get(&self, key: &str) -> Result<(), Failure> {
        match self {
            Self::Alone(driver) => driver.get(key).await.map(drop),
            Self::Engine(engine, _) => {
                engine.get(&SessionKey::parse(key)?, time()).await?;
                Ok(())
            }
        }
    }

    async fn set(&self, key: &str, value: &Bytes) -> Result<(), Failure> {
        match self {
            Self::Alone(driver) => driver.set(key, value).await,
            Self::Engine(engine, namespace) => {
                let write = Write {
                    key: SessionKey::parse(key)?,
                    value: value.clone(),
                    ttl: Ttl::from_s(TTL_S),
                    namespace: namespace.clone(),
                    quota: Quota::default(),
                    condition: Condition::None,
                };
                engine.set(write, time()).await?;
                Ok(())
            }
        }
    }
}

async fn load(
    store: &Arc<Store>,
    operation: &str,
    [tasks, keys, seconds]: [u64; 3],
) -> Result<f64, Failure> {
    let is_set = operation == "set";
    let (next, begun) = (Arc::new(AtomicU64::new(0)), now());
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (store, next) = (Arc::clone(store), Arc::clone(&next));
        running.spawn(async move {
            let value = Bytes::from(vec![7_u8; 128]);
            while begun.elapsed() < Duration::from_secs(seconds) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let key = format!("{:032}", number.wrapping_mul(0x9e37_79b9) % keys);
                if is_set {
                    store.set(&key, &value).await?;
                } else {
                    store.get(&key).await?;
                }
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let rate = next.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    Ok(rate)
}

async fn serve(driver: Arc<Driver>, port: u16) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    writeln!(std::io::stderr(), "listening")?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let driver = Arc::clone(&driver);
        connections.spawn(async move {
            let service = service_fn(async |request| {
                let answer = driver.answer(request).await.unwrap_or_else(|_| {
                    let mut failed = Response::default();
                    *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    failed
                });
                Ok::<_, Infallible>(answer)
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A load generator that hangs up is no trouble.
            drop(serving.await);
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
fn time() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let ms = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    Timestamp::from_ms(ms)
}
