//! A client just good enough for our own servers: HTTP/1.1 over one connection that stays open, bodies with a length.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(310);

pub(super) struct Client {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    /// For a server on this machine.
    pub(super) fn new(port: u16) -> Self {
        Self { address: format!("127.0.0.1:{port}"), stream: None }
    }

    pub(super) fn get(&mut self, path: &str) -> Result<String, String> {
        self.request("GET", path, "")
    }

    pub(super) fn post(&mut self, path: &str, body: &str) -> Result<String, String> {
        self.request("POST", path, body)
    }

    /// The body of a successful answer. A connection that the server closed meanwhile is opened anew.
    pub(super) fn request(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<String, String> {
        let is_kept = self.stream.is_some();
        let answer = match self.attempt(method, path, body) {
            Err(_) if is_kept => self.attempt(method, path, body),
            other => other,
        };
        let (status, text) = answer.map_err(|error| format!("{method} {path}: {error}"))?;
        if (200..300).contains(&status) {
            Ok(text)
        } else {
            Err(format!("{method} {path}: {status} {text}"))
        }
    }

    fn attempt(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
                BufReader::new(stream)
            }
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other("no answer"))?;
        let mut length = 0;
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
        }
        let mut text = vec![0; length];
        stream.read_exact(&mut text)?;
        self.stream = Some(stream);
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }
}

/// What `/metrics` says of one series.
pub(super) fn metric(text: &str, series: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}
