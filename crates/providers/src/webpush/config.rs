//! What an operator sets for Web Push.

use std::sync::Arc;

use rustls::ClientConfig;

use super::{Guard, VapidKeys};

/// How urgently a device is to be woken (RFC 8030 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Urgency {
    /// On power and Wi-Fi.
    VeryLow,
    /// On power or Wi-Fi.
    Low,
    /// On neither.
    #[default]
    Normal,
    /// On low battery.
    High,
}

impl Urgency {
    /// All of them, with their words.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("very-low", Self::VeryLow),
        ("low", Self::Low),
        ("normal", Self::Normal),
        ("high", Self::High),
    ];

    /// Its word in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VeryLow => "very-low",
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// How to reach browsers.
pub struct WebPushConfig {
    /// Who we are; the first is the current one.
    pub keys: VapidKeys,
    /// Where we may send.
    pub guard: Arc<Guard>,
    /// Whom we trust there.
    pub tls: Arc<ClientConfig>,
    /// How urgent messages are.
    pub urgency: Urgency,
    /// An HTTP proxy to connect through. It resolves names, so that the guard's look at addresses falls away: only with an allowlist.
    pub proxy: Option<String>,
}

impl std::fmt::Debug for WebPushConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The proxy's address may hold a password.
        f.debug_struct("WebPushConfig").field("guard", &self.guard).finish_non_exhaustive()
    }
}
