//! `reveille dev`: sandbox, push server and sample users on loopback, and pushes shown as they arrive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use reveille_model::{
    CredentialSet, Duration, NewSubscription, Provider, SubscriptionId, Token, Topic, User,
};
use reveille_providers::webpush::Target;
use reveille_push::{BUCKETS, PushConfig};
use reveille_sandbox::{Ports, Received, Sandbox, Watch, init_with_cohorts};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_service::config::Document;
use reveille_service::entropy;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::telemetry::{LogFormat, start_logs, start_metrics};
use reveille_service::traces::Traces;
use reveille_sessions::{Parts, SessionsConfig, SessionsServer};
use reveille_store::Store;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tracing_subscriber::filter::LevelFilter;

use super::load::{push_config, sandbox_config};
use super::push::start;
use super::sessions::{self, Opened};
use super::store::OpenStore;
use crate::cli::DevArguments;
use crate::demo::{Demo, DemoConfig};
use crate::failure::Failure;
use crate::say;

/// How long a stop may take.
const GRACE: Duration = Duration::from_s(15);
/// Short windows: somebody is watching.
const WINDOW_S: u32 = 5;
/// How far above the first port the session store's is.
const SESSIONS_ABOVE: u16 = 3;
/// The sample users, each with an Android phone, an iPhone and a browser.
const USERS: [&str; 20] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "karl",
    "laura", "mallory", "nina", "oscar", "peggy", "quentin", "rupert", "sybil", "trent",
];

pub(crate) async fn run(arguments: DevArguments) -> Result<(), Failure> {
    start_logs(LogFormat::Text, LevelFilter::WARN);
    let port = arguments.port;
    let ports = Ports {
        intake: port,
        public: port + 1,
        demo: port + 2,
        control: port + 10,
        apns: port + 11,
        fcm: port + 12,
        webpush: port + 13,
    };
    let (dir, is_temporary) = match arguments.dir {
        Some(dir) => (dir, false),
        None => (temporary(), true),
    };
    let config = init_with_cohorts(&dir, ports, WINDOW_S)?;
    let result = Box::pin(serve(&config, &dir, ports)).await;
    if is_temporary && let Err(error) = std::fs::remove_dir_all(&dir) {
        say::error(&format!("cannot remove {}: {error}", dir.display()));
    }
    result
}

fn local(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn temporary() -> PathBuf {
    let number = entropy::rng().next_u64();
    std::env::temp_dir().join(format!("reveille-dev-{number:016x}"))
}

async fn serve(config: &Path, dir: &Path, ports: Ports) -> Result<(), Failure> {
    let lifecycle = Lifecycle::default();
    lifecycle.stop_on_signals().context("cannot listen for signals")?;
    let busy = || {
        format!(
            "choose other ports with `reveille dev --port {}`",
            ports.intake.wrapping_add(100).max(1024)
        )
    };
    let sandbox = Sandbox::bind(sandbox_config(config)?).await.with_context(busy)?;
    let page = TcpListener::bind(("127.0.0.1", ports.demo)).await.with_context(busy)?;
    let push = push_config(config)?;
    let store = OpenStore::open(&push.store).await?;
    // Users come into cohorts with the devices they register.
    store.shared().mix(push.mix()).await?;
    let watch = sandbox.start(&lifecycle);
    let devices = register(store.shared().as_ref(), &push, &watch).await?;
    let buckets: Vec<(&str, &[f64])> =
        BUCKETS.into_iter().chain(reveille_sessions::BUCKETS).collect();
    let metrics = start_metrics(&buckets).context("cannot collect metrics")?;
    let sessions = sessions(dir, ports.intake + SESSIONS_ABOVE, metrics.clone(), &lifecycle);
    let sessions = sessions.await.with_context(busy)?;
    if let Err(failure) = start(push, &store, (metrics, Traces::default()), &lifecycle).await {
        let Failure::Run(error) = failure else { return Err(failure) };
        return Err(error.context(busy()).into());
    }
    let demo = Demo::new(DemoConfig {
        intake: local(ports.intake),
        public: local(ports.public),
        control: local(ports.control),
        window_s: WINDOW_S,
    })?;
    demo.start(page, &watch, &lifecycle);
    welcome(dir, ports);
    lifecycle.spawn("watch", show(watch, devices, lifecycle.clone()));
    let ended = lifecycle.finish(GRACE).await;
    sessions.close();
    store.close().await;
    Ok(ended?)
}

/// A session store, in a file beside the others.
async fn sessions(
    dir: &Path,
    port: u16,
    metrics: PrometheusHandle,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Opened> {
    let text =
        format!("[sessions]\nlisten = \"127.0.0.1:{port}\"\nstore = \"sqlite:sessions.db\"\n");
    let document = Document::parse(&text, dir.to_owned()).map_err(anyhow::Error::msg)?;
    let config = SessionsConfig::read(&document).context("the session store's configuration")?;
    let opened = sessions::open(&config.store, lifecycle).await?;
    let (store, traces) = (opened.store(), Traces::default());
    let parts = Parts { store, clock: Arc::new(SystemClock), metrics, traces };
    SessionsServer::bind(config, parts).await?.start(lifecycle);
    Ok(opened)
}

/// Whose device a token is, and what device: for showing pushes.
type Devices = BTreeMap<String, (&'static str, &'static str)>;

/// Gives each sample user an Android phone, an iPhone and a browser.
async fn register(store: &dyn Store, push: &PushConfig, watch: &Watch) -> Result<Devices, Failure> {
    let mut rng = entropy::rng();
    let mut devices = Devices::new();
    let apns = push.providers.apns.first().context("the sandbox has an app at Apple")?;
    let webpush = push.providers.webpush.as_ref().context("the sandbox has browsers")?;
    for (number, name) in USERS.into_iter().enumerate() {
        let user = User::parse(name)?;
        let phone = format!("phone-of-{name}");
        let iphone = format!("{:064x}", number + 1);
        let browser = format!("browser-of-{name}");
        let style = ["mozilla", "google", "apple"].into_iter().cycle().nth(number).unwrap_or("wp");
        let target =
            Target::from_json(&watch.subscription(style, &browser), &webpush.webpush.guard)?;
        let new = |set: CredentialSet, topic: Option<Topic>, token: Token| NewSubscription {
            user: user.clone(),
            set,
            topic,
            token,
        };
        let all = [
            new(
                CredentialSet::new(Provider::Fcm, "default")?,
                None,
                Token::parse(Provider::Fcm, &phone)?,
            ),
            new(
                apns.set.clone(),
                // One topic for all: users of two would be two kinds, and ten of a kind are no cohort yet.
                apns.topics.first().cloned(),
                Token::parse(Provider::Apns, &iphone)?,
            ),
            new(target.service().set(), None, target.to_token().context("a short endpoint")?),
        ];
        for each in all {
            let fresh = SubscriptionId::from_bytes(rng.bytes_16());
            store.put(each, fresh, 10, SystemClock.now()).await?;
        }
        devices.insert(phone, (name, "phone"));
        devices.insert(iphone, (name, "iPhone"));
        devices.insert(browser, (name, "browser"));
    }
    Ok(devices)
}

fn welcome(dir: &Path, ports: Ports) {
    let Ports { intake, public, demo, control, apns, fcm, webpush } = ports;
    let sessions = intake + SESSIONS_ABOVE;
    say::line(&format!(
        r#"Reveille is running on this machine; nothing leaves it. Stop it with Ctrl-C.

  push server   http://127.0.0.1:{intake}         API at /docs, figures at /metrics
  console       http://127.0.0.1:{intake}/console   log in with the line of operators.tokens in the data's folder
  public API    http://127.0.0.1:{public}         for devices and browsers, described at /docs
  sessions      http://127.0.0.1:{sessions}/sessions/v1/   a session store: POST, GET and DELETE of any key
  sandbox       https://127.0.0.1:{apns}        a look-alike APNs
                https://127.0.0.1:{fcm}        a look-alike FCM
                https://127.0.0.1:{webpush}        look-alike Web Push services
                http://127.0.0.1:{control}         what arrived at /received, faults at /faults
  data          {}
  users         alice, bob, carol … trent, each with a phone, an iPhone and a browser

Wake your own browser: open http://127.0.0.1:{demo}

Wake alice. Paste this into another terminal:

  curl -H 'Content-Type: application/json' http://127.0.0.1:{intake}/v1/notifications \
    -d '{{"users":["alice"],"type":"mention"}}'

Pushes leave when the window ends, every {WINDOW_S} seconds. All {count} users' phones and iPhones are woken when alice is, for they are
her cohort: whoever watches cannot tell whom it was for. Browsers are woken alone. Pushes are shown here as they arrive:
"#,
        dir.display(),
        count = USERS.len()
    ));
}

async fn show(watch: Watch, devices: Devices, lifecycle: Lifecycle) {
    let mut pushes = watch.pushes();
    loop {
        let push = tokio::select! {
            push = pushes.recv() => push,
            () = lifecycle.stopping() => return,
        };
        match push {
            Ok(push) => say::line(&shown(&push, &devices)),
            Err(RecvError::Lagged(count)) => say::line(&format!("  … and {count} more")),
            Err(RecvError::Closed) => return lifecycle.stopping().await,
        }
    }
}

fn shown(push: &Received, devices: &Devices) -> String {
    let (owner, device) = devices.get(&push.token).copied().unwrap_or(("somebody", "device"));
    let time = push.received_at.get(11..19).unwrap_or_default();
    let told = ["/message/data", "/data", ""]
        .into_iter()
        .find_map(|path| push.payload.pointer(path).filter(|value| value.get("type").is_some()));
    let told = told.map(ToString::to_string).unwrap_or_default();
    format!(
        "  {time}  {:<7}  {owner:<8} {device:<8} {told}  answered {}",
        push.provider, push.answer
    )
}
