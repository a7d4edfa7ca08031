//! What arrived: the last pushes, and how many there were.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use serde_json::Value;

/// One push that arrived.
#[derive(Debug, Clone, Serialize)]
pub struct Received {
    /// `fcm`.
    pub provider: &'static str,
    /// The device's token.
    pub token: String,
    /// The request's headers, without the credential.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub payload: Value,
    /// When, as RFC 3339.
    pub received_at: String,
    /// What was answered: an HTTP status, or the word of the fault where there was no answer.
    pub answer: String,
}

/// The memory of a sandbox. Bounded: the oldest are forgotten first.
#[derive(Debug)]
pub(crate) struct Log {
    pushes: VecDeque<Received>,
    max: usize,
    /// How many ever arrived since the last reset, forgotten ones included.
    total: u64,
    answers: BTreeMap<String, u64>,
}

impl Log {
    pub(crate) fn new(max: usize) -> Self {
        Self { pushes: VecDeque::new(), max, total: 0, answers: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, push: Received) {
        self.total += 1;
        *self.answers.entry(push.answer.clone()).or_default() += 1;
        if self.pushes.len() >= self.max {
            self.pushes.pop_front();
        }
        self.pushes.push_back(push);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.max);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn answers(&self) -> &BTreeMap<String, u64> {
        &self.answers
    }

    /// Those that are remembered, oldest first, as one JSON object a line.
    pub(crate) fn ndjson(&self) -> String {
        let mut lines = String::new();
        for push in &self.pushes {
            if let Ok(line) = serde_json::to_string(push) {
                lines.push_str(&line);
                lines.push('\n');
            }
        }
        lines
    }
}
