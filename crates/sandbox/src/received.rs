//! What arrived: the last pushes, and how many there were.

use std::collections::{BTreeMap, VecDeque};

use reveille_model::Provider;
use serde::Serialize;
use serde_json::Value;

/// One push that arrived.
#[derive(Debug, Clone, Serialize)]
pub struct Received {
    /// `apns`, `fcm` or `webpush`.
    pub provider: &'static str,
    /// The device's token; of Web Push the last part of the endpoint's path.
    pub token: String,
    /// The request's headers, without the credential.
    pub headers: BTreeMap<String, String>,
    /// The body; of Web Push what was in it, as text where it is not JSON.
    pub payload: Value,
    /// The body as it crossed the network, in base64url (Web Push, which encrypts it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<String>,
    /// How long the body was on the wire.
    pub body_bytes: usize,
    /// Who sent it: the project of FCM, the key of APNs or `certificate`, the public key of Web Push.
    pub authorized_by: String,
    /// When, as RFC 3339.
    pub received_at: String,
    /// What was answered: an HTTP status, or the word of the fault where there was no answer.
    pub answer: String,
}

/// How many arrived since the last reset, forgotten ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    apns: u64,
    fcm: u64,
    webpush: u64,
}

impl Totals {
    /// Of one provider, or of all.
    pub(crate) fn of(self, provider: Option<Provider>) -> u64 {
        match provider {
            Some(Provider::Apns) => self.apns,
            Some(Provider::Fcm) => self.fcm,
            Some(Provider::WebPush) => self.webpush,
            None => self.apns + self.fcm + self.webpush,
        }
    }

    fn count(&mut self, provider: Provider) {
        *match provider {
            Provider::Apns => &mut self.apns,
            Provider::Fcm => &mut self.fcm,
            Provider::WebPush => &mut self.webpush,
        } += 1;
    }
}

/// The memory of a sandbox. Bounded: the oldest are forgotten first.
#[derive(Debug)]
pub(crate) struct Log {
    pushes: VecDeque<Received>,
    max: usize,
    totals: Totals,
    answers: BTreeMap<(Provider, String), u64>,
    /// Requests that were no push, by the reason they were refused for.
    refused: BTreeMap<(Provider, String), u64>,
}

impl Log {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            pushes: VecDeque::new(),
            max,
            totals: Totals::default(),
            answers: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, provider: Provider, push: Received) {
        self.totals.count(provider);
        *self.answers.entry((provider, push.answer.clone())).or_default() += 1;
        if self.pushes.len() >= self.max {
            self.pushes.pop_front();
        }
        self.pushes.push_back(push);
    }

    pub(crate) fn refuse(&mut self, provider: Provider, reason: &str) {
        *self.refused.entry((provider, reason.to_owned())).or_default() += 1;
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.max);
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// How often each answer was given, by one provider or by all.
    pub(crate) fn answers(&self, provider: Option<Provider>) -> BTreeMap<&str, u64> {
        counts(&self.answers, provider)
    }

    /// How often a request was refused for each reason, by one provider.
    pub(crate) fn refused(&self, provider: Provider) -> BTreeMap<&str, u64> {
        counts(&self.refused, Some(provider))
    }

    /// Those that are remembered, of one provider or of all, oldest first, as one JSON object a line.
    pub(crate) fn ndjson(&self, provider: Option<Provider>) -> String {
        let mut lines = String::new();
        let is_asked_for =
            |push: &&Received| provider.is_none_or(|provider| provider.as_str() == push.provider);
        for push in self.pushes.iter().filter(is_asked_for) {
            if let Ok(line) = serde_json::to_string(push) {
                lines.push_str(&line);
                lines.push('\n');
            }
        }
        lines
    }
}

fn counts(
    all: &BTreeMap<(Provider, String), u64>,
    provider: Option<Provider>,
) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for ((each, word), count) in all {
        if provider.is_none_or(|provider| provider == *each) {
            *counts.entry(word.as_str()).or_default() += count;
        }
    }
    counts
}
