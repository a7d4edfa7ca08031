//! HTTP/1.1 byte by byte, as no client would send or show it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest time to wait for bytes.
const TIME_MAX: Duration = Duration::from_mins(1);

/// A connection, and what came on it and was not looked at yet.
pub(crate) struct Connection {
    stream: TcpStream,
    came: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    /// The status line and the headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl RawAnswer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

impl Connection {
    pub(crate) async fn new(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), came: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // Whoever refuses may hang up before everything was sent.
        drop(self.stream.write_all(bytes.as_ref()).await);
    }

    /// One request with a body, and its answer.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> RawAnswer {
        self.send(request).await;
        self.answer("GET").await.expect("an answer")
    }

    /// The next answer, after any `100 Continue`; nothing where the connection ended.
    pub(crate) async fn answer(&mut self, method: &str) -> Option<RawAnswer> {
        loop {
            let answer = self.one(method).await?;
            if answer.status != 100 {
                return Some(answer);
            }
        }
    }

    /// The next answer, whatever it is.
    pub(crate) async fn one(&mut self, method: &str) -> Option<RawAnswer> {
        let end = loop {
            let found = self.came.windows(4).position(|four| four == b"\r\n\r\n");
            match found {
                Some(at) => break at + 4,
                None => self.more().await?,
            }
        };
        let head = String::from_utf8(self.came.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = RawAnswer { status, head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
        if method != "HEAD" && !matches!(status, 100 | 204 | 304) {
            while self.came.len() < length {
                self.more().await?;
            }
            answer.body = self.came.drain(..length).collect();
        }
        Some(answer)
    }

    async fn more(&mut self) -> Option<()> {
        let mut bytes = vec![0; 16_384];
        let read = tokio::time::timeout(TIME_MAX, self.stream.read(&mut bytes)).await;
        match read.expect("bytes in time") {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.came.extend_from_slice(&bytes[..count]);
                Some(())
            }
        }
    }

    /// Whether the server has hung up.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.came.is_empty() && self.more().await.is_none()
    }
}
