//! A network that carries the first request and loses its answer, and breaks off that of the second in its body.

use std::sync::{Arc, Mutex, PoisonError};

use reveille_service::lifecycle::Lifecycle;
use reveille_testkit::free_port;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// In front of a server, while it is kept.
pub(crate) struct Relay {
    pub(crate) port: u16,
    /// What was asked, by connection.
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
    lifecycle: Lifecycle,
}

impl Relay {
    pub(crate) async fn start(to: u16) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (asked, lifecycle) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Lifecycle::default());
        let (shared, life) = (Arc::clone(&asked), lifecycle.clone());
        lifecycle.spawn_brief(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = life.stopping() => return,
                };
                let Ok((client, _)) = accepted else { return };
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                let connection = {
                    let mut asked = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    asked.push(Vec::new());
                    asked.len() - 1
                };
                life.spawn_brief(carry(client, server, Arc::clone(&shared), connection));
            }
        });
        Self { port, asked, lifecycle }
    }

    /// The value of a header in each of the requests, one a connection.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = asked.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        requests
            .map(|request| {
                let found = request.lines().find_map(|line| {
                    let (given, value) = line.split_once(": ")?;
                    given.eq_ignore_ascii_case(name).then(|| value.to_owned())
                });
                found.unwrap_or_default()
            })
            .collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

/// Carries one connection. Of the first, the answer is lost, and so is the connection once there is one; of the second, all is there but the last byte.
async fn carry(
    client: TcpStream,
    server: TcpStream,
    asked: Arc<Mutex<Vec<Vec<u8>>>>,
    connection: usize,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            let part = &buffer[..length];
            asked.lock().unwrap_or_else(PoisonError::into_inner)[connection].extend(part);
            if to_server.write_all(part).await.is_err() {
                return;
            }
        }
    };
    let answering = async {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            // These answers are short, and come in one piece.
            let carried = match connection {
                0 => return,
                1 => length - 1,
                _ => length,
            };
            if to_client.write_all(&buffer[..carried]).await.is_err() || connection == 1 {
                return;
            }
        }
    };
    tokio::select! {
        () = asking => {}
        () = answering => {}
    }
}
