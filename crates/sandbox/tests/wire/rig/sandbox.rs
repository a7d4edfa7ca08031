//! A sandbox on ports of its own, with the files `init` writes.

use std::net::TcpListener;
use std::path::PathBuf;

use reveille_sandbox::{Ports, Sandbox, SandboxConfig, Watch, init};
use reveille_service::config::Document;
use reveille_service::lifecycle::Lifecycle;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Stops with the test.
pub(crate) struct Rig {
    pub(crate) dir: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) watch: Watch,
    lifecycle: Lifecycle,
}

/// Below those that the system gives to outgoing connections, which begin at 32768.
fn free_port() -> u16 {
    let mut rng = reveille_service::entropy::rng();
    loop {
        let port = 10_000 + u16::try_from(rng.next_u64() % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Rig {
    /// `more` is added to the section `[sandbox]`; `files` are there before it starts.
    pub(crate) async fn start(more: &str, files: &[(&str, &str)]) -> Self {
        // Another test may have done it.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let name: u64 = reveille_service::entropy::rng().next_u64();
        let dir = std::env::temp_dir().join(format!("reveille-sandbox-test-{name:016x}"));
        let ports = Ports {
            intake: free_port(),
            public: free_port(),
            demo: free_port(),
            control: free_port(),
            apns: free_port(),
            fcm: free_port(),
            webpush: free_port(),
        };
        let file = init(&dir, ports, 1).unwrap();
        for (name, text) in files {
            std::fs::write(dir.join(name), text).unwrap();
        }
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}{more}\n")).unwrap();
        let document = Document::load(&file).unwrap();
        let config = SandboxConfig::read(&document);
        assert_eq!(document.problems().take(), []);
        let lifecycle = Lifecycle::default();
        let watch = Sandbox::bind(config.unwrap()).await.unwrap().start(&lifecycle);
        Self { dir, ports, watch, lifecycle }
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.join(name)).unwrap()
    }

    /// Asks the control port; returns the status and the body.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports.control)).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    pub(crate) async fn fault(&self, fault: Value) {
        let (status, body) = self.ask("POST", "/faults", &fault).await;
        assert_eq!(status, 201, "{body}");
    }

    pub(crate) async fn stats(&self) -> Value {
        serde_json::from_str(&self.ask("GET", "/stats", &Value::Null).await.1).unwrap()
    }

    /// What arrived at one provider.
    pub(crate) async fn received(&self, provider: &str) -> Vec<Value> {
        let path = format!("/received?provider={provider}");
        let (_, lines) = self.ask("GET", &path, &Value::Null).await;
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.lifecycle.stop();
        drop(std::fs::remove_dir_all(&self.dir));
    }
}
