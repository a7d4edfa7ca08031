//! What an operator sets for FCM.

use std::sync::Arc;

use reveille_model::Duration;
use rustls::ClientConfig;

use crate::http2::{Origin, PoolSettings};
use crate::oauth::ServiceAccount;

/// How urgently a device is to be woken (Firebase, *Android message priority*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// May wait until the device wakes for something else. What content-free messages should use: high ones that show nothing are demoted.
    #[default]
    Normal,
    /// Wakes the device.
    High,
}

/// One Firebase project.
#[derive(Debug)]
pub struct FcmConfig {
    /// Who we are.
    pub account: ServiceAccount,
    /// Where messages go.
    pub endpoint: Origin,
    /// Whom we trust there and at the token endpoint.
    pub tls: Arc<ClientConfig>,
    /// How urgent messages are.
    pub priority: Priority,
    /// Bounds of the connections.
    pub pool: PoolSettings,
}

impl FcmConfig {
    /// Google's endpoint.
    pub const ENDPOINT: &'static str = "https://fcm.googleapis.com";

    /// Bounds that suit Google: a connection's first request learns its stream limit; about 100 streams a connection are announced, ten connections are enough for a project's quota; a request
    /// takes 15 s at the most (Firebase, *Best practices when sending FCM messages at scale*: at least 10).
    pub const POOL: PoolSettings = PoolSettings {
        connections_max: 10,
        dials_per_minute_max: 60,
        streams_max: 1_000,
        first_streams: 1,
        connect_timeout: Duration::from_s(10),
        request_timeout: Duration::from_s(15),
        ping_interval: Duration::from_s(60),
        ping_timeout: Duration::from_s(20),
    };
}
