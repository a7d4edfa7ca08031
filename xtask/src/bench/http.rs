//! Requests to the servers under measurement, which are on this machine.

use std::time::Duration;

use ureq::http::{Request, header};

/// Longest wait for an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(310);
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// Keeps its connection.
pub(super) struct Client {
    agent: ureq::Agent,
    base: String,
}

impl Client {
    pub(super) fn new(port: u16) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_TIME_MAX))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Self { agent: config.into(), base: format!("http://127.0.0.1:{port}") }
    }

    pub(super) fn get(&self, path: &str) -> Result<String, String> {
        self.request("GET", path, "")
    }

    pub(super) fn post(&self, path: &str, body: &str) -> Result<String, String> {
        self.request("POST", path, body)
    }

    /// The body of a successful answer.
    pub(super) fn request(&self, method: &str, path: &str, body: &str) -> Result<String, String> {
        let (status, text) = self
            .attempt(method, path, body)
            .map_err(|error| format!("{method} {path}: {error}"))?;
        if (200..300).contains(&status) {
            Ok(text)
        } else {
            Err(format!("{method} {path}: {status} {text}"))
        }
    }

    fn attempt(&self, method: &str, path: &str, body: &str) -> Result<(u16, String), ureq::Error> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, "application/json");
        let mut response = if method == "POST" {
            self.agent.run(request.body(body)?)?
        } else {
            self.agent.run(request.body(())?)?
        };
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
        Ok((response.status().as_u16(), text))
    }
}

/// What `/metrics` says of one series.
pub(super) fn metric(text: &str, series: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}
