//! A push server, a session store and a sandbox, as `reveille sandbox init` configures them.

use std::path::{Path, PathBuf};
use std::process::Command;

use http::Method;
use reveille_sandbox::{Ports, init};
use reveille_testkit::{Client, Dir, Server, free_port, free_ports};
use serde_json::{Value, json};

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");
/// What callers of the private API show.
pub(crate) const TOKEN: &str = "a-token-of-the-site-itself";

/// How it differs from what `init` writes.
#[derive(Default)]
pub(crate) struct Settings<'a> {
    /// Sections at the end.
    pub(crate) more: &'a str,
    /// Single settings.
    pub(crate) environment: &'a [(&'a str, &'a str)],
    /// Whether callers of the private API show a token.
    pub(crate) has_tokens: bool,
}

/// All of them, running.
pub(crate) struct Rig {
    pub(crate) dir: Dir,
    pub(crate) ports: Ports,
    pub(crate) sessions: u16,
    pub(crate) sandbox: Client,
    _servers: [Server; 3],
}

impl Rig {
    pub(crate) async fn start(settings: Settings<'_>) -> Self {
        let (dir, ports, sessions) = (Dir::new(), free_ports(), free_port());
        let config = init(&dir.join("rig"), ports, 1).unwrap();
        let mut text = std::fs::read_to_string(&config).unwrap();
        if settings.has_tokens {
            std::fs::write(config.with_file_name("intake.tokens"), format!("{TOKEN}\n")).unwrap();
            text = text.replace("# tokens_file", "tokens_file");
        }
        let store = format!(
            "\n[sessions]\nlisten = \"127.0.0.1:{sessions}\"\nstore = \"sqlite:sessions.db\"\n"
        );
        std::fs::write(&config, text + &store + settings.more).unwrap();
        let start = async |command: &str, said: &str| {
            let words = [command, "--config", config.to_str().unwrap()];
            let mut server = Server::start_with(Path::new(REVEILLE), &words, settings.environment);
            server.wait_for(said).await;
            server
        };
        let servers = [
            start("sandbox", "the sandbox is listening").await,
            start("push", "the push server is listening").await,
            start("sessions", "the session store is listening").await,
        ];
        let sandbox = Client::new(&at(ports.control));
        Self { dir, ports, sessions, sandbox, _servers: servers }
    }

    /// Where `init` has put its files.
    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.join("rig")
    }

    /// Registers an Android phone of a user, as the site itself would.
    pub(crate) async fn register(&self, user: &str, token: &str) {
        let client = Client::new(&at(self.ports.intake));
        let headers = [
            ("authorization", format!("Bearer {TOKEN}")),
            ("content-type", "application/json".to_owned()),
        ];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let body = json!({"provider": "fcm", "token": token}).to_string();
        let path = format!("/v1/users/{user}/subscriptions");
        let answer = client.call(Method::POST, &path, &headers, body.into_bytes()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    /// A second passes, or something arrives that never does.
    pub(crate) async fn wait(&self) {
        self.sandbox.get("/stats?received_min=1000000&wait_s=1").await;
    }

    /// What the sandbox is to play.
    pub(crate) async fn fault(&self, fault: &Value) {
        assert!(self.sandbox.post("/faults", fault).await.status.is_success());
    }
}

/// A server on this machine.
pub(crate) fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// The folder of what people copy.
pub(crate) fn clients() -> PathBuf {
    root().join("clients")
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Where a script beside these tests is.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Runs a program that says `ok …` for each thing it has found right, and returns what it says.
pub(crate) async fn succeeds(mut program: Command, checks: usize) -> String {
    let output = tokio::task::spawn_blocking(move || program.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), checks, "{said}");
    said
}
