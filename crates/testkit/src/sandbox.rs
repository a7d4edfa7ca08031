//! A sandbox inside the test's process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use reveille_sandbox::{Ports, Sandbox, SandboxConfig, Watch, init};
use reveille_service::config::Document;
use reveille_service::entropy;
use reveille_service::lifecycle::Lifecycle;

use crate::{Client, Dir};

/// The first port that tests take, and how many there are.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 20_000;

/// A port nobody listens at now, and none that the system gives to outgoing connections, which begin at 32768. Each is given out once.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    free_port_range(1)
}

/// The first of so many of them in a row.
///
/// # Panics
/// If there are none.
pub fn free_port_range(count: u16) -> u16 {
    static NEXT: OnceLock<AtomicU64> = OnceLock::new();
    // Each test process begins somewhere else.
    let next = NEXT.get_or_init(|| AtomicU64::new(entropy::rng().next_u64() >> 1));
    let last = u64::from(PORTS - count);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let places = std::iter::repeat_with(|| {
        next.fetch_add(count.into(), Ordering::Relaxed) % u64::from(PORTS)
    });
    places
        .take(PORTS.into())
        .filter(|place| *place <= last)
        .filter_map(|place| Some(FIRST_PORT + u16::try_from(place).ok()?))
        .find(|first| (*first..first + count).all(is_free))
        .expect("free ports in a row")
}

/// Ports nobody listens at now, for a whole rig.
pub fn free_ports() -> Ports {
    Ports {
        intake: free_port(),
        public: free_port(),
        demo: free_port(),
        control: free_port(),
        apns: free_port(),
        fcm: free_port(),
        webpush: free_port(),
    }
}

/// A sandbox on ports of its own, with the files `init` writes.
#[derive(Debug)]
pub struct TestSandbox {
    /// Where its files are.
    pub dir: Dir,
    /// Its control port.
    pub control: Client,
    /// Its APNs port.
    pub apns_port: u16,
    /// Its FCM port.
    pub fcm_port: u16,
    /// Its Web Push port.
    pub webpush_port: u16,
    lifecycle: Lifecycle,
    watch: Watch,
}

impl TestSandbox {
    /// Starts one; `more` is added to its section of the configuration.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start(more: &str) -> Self {
        crate::install_crypto();
        let dir = Dir::new();
        let ports = free_ports();
        let file = init(&dir.join("sandbox"), ports, 1).expect("the sandbox's files");
        let text = std::fs::read_to_string(&file).expect("the configuration");
        let text = format!("{text}{more}\n");
        std::fs::write(&file, &text).expect("the configuration");
        let document = Document::load(&file).expect("the configuration");
        let config = SandboxConfig::read(&document);
        assert_eq!(document.problems().take(), []);
        let lifecycle = Lifecycle::default();
        let watch =
            Sandbox::bind(config.expect("no problems")).await.expect("ports").start(&lifecycle);
        let control = Client::new(&format!("http://127.0.0.1:{}", ports.control));
        Self {
            dir,
            control,
            apns_port: ports.apns,
            fcm_port: ports.fcm,
            webpush_port: ports.webpush,
            lifecycle,
            watch,
        }
    }

    /// What a browser would give to the site it subscribed at (`PushSubscription.toJSON()`).
    pub fn subscription(&self, style: &str, token: &str) -> serde_json::Value {
        self.watch.subscription(style, token)
    }

    /// A file that `init` wrote.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join("sandbox").join(Path::new(name))
    }
}

impl Drop for TestSandbox {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}
