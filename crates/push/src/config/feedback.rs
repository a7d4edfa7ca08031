//! `[push.feedback]` and `[push.drop_guard]`: who is told of dead tokens, and when such verdicts are believed.

use std::path::Path;

use reveille_mixer::DropGuardSettings;
use reveille_model::Duration;
use reveille_providers::client_tls;
use reveille_service::config::Section;

use crate::feedback::{Secret, WebhookConfig};

/// How long a quarantined device is left alone, at the least: sooner, answers from before a mistake of ours could vouch for it.
const HOLD_S_DEFAULT: u32 = 3_600;

/// When verdicts of death are believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DropGuardConfig {
    pub(crate) settings: DropGuardSettings,
    /// How long a quarantined device is left alone before it is tried again.
    pub(crate) hold: Duration,
}

impl DropGuardConfig {
    pub(super) fn read(mut section: Section) -> Self {
        let defaults = DropGuardSettings::DEFAULT;
        let hold_s = section.number("retry_s", HOLD_S_DEFAULT..=86_400).unwrap_or(HOLD_S_DEFAULT);
        let settings = DropGuardSettings {
            trust_over: Duration::from_s(hold_s),
            dead_percent_max: section
                .number("dead_percent_max", 1..=100)
                .unwrap_or(defaults.dead_percent_max),
            answers_min: section
                .number("answers_min", 1..=1_000_000)
                .unwrap_or(defaults.answers_min),
        };
        section.finish();
        Self { settings, hold: Duration::from_s(hold_s) }
    }
}

/// Reads the feedback that comes in addition to our own subscriptions.
pub(super) fn read_feedback(mut section: Section) -> Option<WebhookConfig> {
    let mode = section.string("mode");
    let is_webhook = mode.as_deref() == Some("webhook");
    match mode.as_deref() {
        None | Some("own" | "webhook") => {}
        Some("mediawiki") => section.problem(
            "mode",
            "this feedback is not built yet in this version; write \"own\" or \"webhook\"",
        ),
        Some(_) => section.problem("mode", "this must be \"own\" or \"webhook\""),
    }
    if is_webhook && !section.has("url") {
        section.problem(
            "url",
            "this is missing; write for example url = \"https://www.example.org/reveille\"",
        );
    }
    if is_webhook && !section.has("secret_file") {
        section.problem(
            "secret_file",
            "this is missing; make one with `echo whsec_$(openssl rand -base64 32) > webhook.secret`",
        );
    }
    if !is_webhook && (section.has("url") || section.has("secret_file")) {
        section.problem("mode", "url and secret_file are of mode = \"webhook\"");
    }
    let webhook = read_webhook(&mut section);
    section.finish();
    webhook.filter(|_| is_webhook)
}

fn read_webhook(section: &mut Section) -> Option<WebhookConfig> {
    let url = section.string("url").and_then(|text| {
        let url = reqwest::Url::parse(&text).ok();
        let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        if url.is_none() {
            section.problem(
                "url",
                "this must be an https: address (or http: inside a trusted network)",
            );
        }
        url
    });
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Secret::parse(text.trim()).ok_or_else(|| {
            "it does not hold `whsec_` and 24 to 64 bytes in base64 (Standard Webhooks)".to_owned()
        })
    };
    let secret = section.path("secret_file").and_then(|path| {
        read(&path)
            .map_err(|what| section.problem("secret_file", format!("{}: {what}", path.display())))
            .ok()
    });
    let ca_file = section.path("ca_file");
    let tls = client_tls(ca_file.as_deref())
        .map_err(|error| section.problem("ca_file", error.to_string()))
        .ok();
    Some(WebhookConfig { url: url?, secret: secret?, tls: tls? })
}

impl WebhookConfig {
    /// Whether tokens would cross a network unencrypted.
    pub(super) fn is_in_the_clear(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let is_here = host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        self.url.scheme() == "http" && !is_here
    }
}
