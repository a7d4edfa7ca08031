//! `reveille dev`: sandbox, push server and sample users on loopback, and pushes shown as they arrive.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use reveille_model::{
    CredentialSet, Duration, NewSubscription, Provider, SubscriptionId, Token, User,
};
use reveille_sandbox::{Ports, Received, Sandbox, Watch, init};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_service::entropy;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::telemetry::{LogFormat, start_logs, start_metrics};
use reveille_store::Subscriptions as _;
use reveille_store_sqlite::SqliteStore;
use tokio::sync::broadcast::error::RecvError;
use tracing_subscriber::filter::LevelFilter;

use super::load::{close_store, open_store, push_config, sandbox_config};
use super::push::start;
use crate::cli::DevArguments;
use crate::failure::Failure;
use crate::say;

/// How long a stop may take.
const GRACE: Duration = Duration::from_s(15);
/// Short windows: somebody is watching.
const WINDOW_S: u32 = 5;
/// The sample users, each with a phone.
const USERS: [&str; 20] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "karl",
    "laura", "mallory", "nina", "oscar", "peggy", "quentin", "rupert", "sybil", "trent",
];

pub(crate) async fn run(arguments: DevArguments) -> Result<(), Failure> {
    start_logs(LogFormat::Text, LevelFilter::WARN);
    let port = arguments.port;
    let ports = Ports { intake: port, control: port + 10, fcm: port + 12 };
    let (dir, is_temporary) = match arguments.dir {
        Some(dir) => (dir, false),
        None => (temporary(), true),
    };
    let config = init(&dir, ports, WINDOW_S)?;
    let result = serve(&config, &dir, ports).await;
    if is_temporary && let Err(error) = std::fs::remove_dir_all(&dir) {
        say::error(&format!("cannot remove {}: {error}", dir.display()));
    }
    result
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
    let push = push_config(config)?;
    let store = open_store(&push.store)?;
    register(&store).await?;
    let metrics = start_metrics().context("cannot collect metrics")?;
    if let Err(failure) = start(push, &store, metrics, &lifecycle).await {
        let Failure::Run(error) = failure else { return Err(failure) };
        return Err(error.context(busy()).into());
    }
    let watch = sandbox.start(&lifecycle);
    welcome(dir, ports);
    lifecycle.spawn("watch", show(watch, lifecycle.clone()));
    let ended = lifecycle.finish(GRACE).await;
    close_store(store);
    Ok(ended?)
}

/// Gives each sample user a phone.
async fn register(store: &SqliteStore) -> Result<(), Failure> {
    let mut rng = entropy::rng();
    for name in USERS {
        let new = NewSubscription {
            user: User::parse(name)?,
            set: CredentialSet::new(Provider::Fcm, "default")?,
            topic: None,
            token: Token::parse(Provider::Fcm, &format!("phone-of-{name}"))?,
        };
        let fresh = SubscriptionId::from_bytes(rng.bytes_16());
        store.put(new, fresh, 10, SystemClock.now()).await?;
    }
    Ok(())
}

fn welcome(dir: &Path, ports: Ports) {
    let Ports { intake, control, fcm } = ports;
    say::line(&format!(
        r#"Reveille is running on this machine; nothing leaves it. Stop it with Ctrl-C.

  push server   http://127.0.0.1:{intake}         API at /docs, figures at /metrics
  sandbox       https://127.0.0.1:{fcm}        a look-alike FCM
                http://127.0.0.1:{control}         what arrived at /received, faults at /faults
  data          {}
  users         alice, bob, carol … trent, each with one phone

Wake alice. Paste this into another terminal:

  curl -H 'Content-Type: application/json' http://127.0.0.1:{intake}/v1/notifications \
    -d '{{"users":["alice"],"type":"mention"}}'

Her push leaves when the window ends, every {WINDOW_S} seconds. Pushes are shown here as they arrive:
"#,
        dir.display()
    ));
}

async fn show(watch: Watch, lifecycle: Lifecycle) {
    let mut pushes = watch.pushes();
    loop {
        let push = tokio::select! {
            push = pushes.recv() => push,
            () = lifecycle.stopping() => return,
        };
        match push {
            Ok(push) => say::line(&shown(&push)),
            Err(RecvError::Lagged(count)) => say::line(&format!("  … and {count} more")),
            Err(RecvError::Closed) => return lifecycle.stopping().await,
        }
    }
}

fn shown(push: &Received) -> String {
    let owner = push.token.strip_prefix("phone-of-").unwrap_or("a device");
    let time = push.received_at.get(11..19).unwrap_or_default();
    let data = push.payload.pointer("/message/data").map(ToString::to_string).unwrap_or_default();
    format!("  {time}  {}  {owner:<10} {data}  answered {}", push.provider, push.answer)
}
