//! Binding and serving.

use std::net::SocketAddr;
use std::sync::Arc;

use reveille_model::Provider;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::listen;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

use crate::state::State;
use crate::transport::Accept;
use crate::webpush::{Style, is_token};
use crate::{Received, SandboxConfig, control, transport};

/// A sandbox whose ports are bound.
#[derive(Debug)]
pub struct Sandbox {
    config: SandboxConfig,
    apns: TcpListener,
    fcm: TcpListener,
    webpush: TcpListener,
    control: TcpListener,
}

/// Why a sandbox cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address} (sandbox.{key}): {source}; is another sandbox running?")]
pub struct SandboxError {
    key: &'static str,
    address: SocketAddr,
    source: std::io::Error,
}

impl Sandbox {
    /// Binds the ports.
    pub async fn bind(config: SandboxConfig) -> Result<Self, SandboxError> {
        let bind = async |key, address| {
            TcpListener::bind(address).await.map_err(|source| SandboxError { key, address, source })
        };
        let apns = bind("apns", config.apns).await?;
        let fcm = bind("fcm", config.fcm).await?;
        let webpush = bind("webpush", config.webpush).await?;
        let control = bind("control", config.control).await?;
        Ok(Self { config, apns, fcm, webpush, control })
    }

    /// Serves until the lifecycle stops.
    pub fn start(self, lifecycle: &Lifecycle) -> Watch {
        let Self { config, apns, fcm, webpush, control } = self;
        let state = State::new(config.settings);
        tracing::info!(
            apns = %config.apns, fcm = %config.fcm, webpush = %config.webpush,
            control = %config.control, "the sandbox is listening"
        );
        let others = config.tls.others;
        for (name, listener, tls, provider) in [
            ("sandbox apns", apns, config.tls.apns, Provider::Apns),
            ("sandbox fcm", fcm, others.clone(), Provider::Fcm),
            ("sandbox webpush", webpush, others, Provider::WebPush),
        ] {
            let accept = Accept { listener, tls, provider };
            let serving = transport::serve(accept, Arc::clone(&state), lifecycle.clone());
            lifecycle.spawn(name, serving);
        }
        let router = control::router(Arc::clone(&state));
        lifecycle.spawn(
            "sandbox control",
            listen::serve(control, None.into(), router, lifecycle.clone()),
        );
        Watch(state)
    }
}

/// Shows pushes as they arrive, and browsers' subscriptions.
#[derive(Debug)]
pub struct Watch(Arc<State>);

impl Watch {
    /// Pushes from now on. One who reads too slowly misses some.
    pub fn pushes(&self) -> broadcast::Receiver<Received> {
        self.0.watch()
    }

    /// What a browser would give to the site it subscribed at (`PushSubscription.toJSON()`). `style` is one of `mozilla`, `google`,
    /// `apple`, `microsoft`, `up`, `wp`; with any other, or a token that cannot stand in a path, there is none: null.
    pub fn subscription(&self, style: &str, token: &str) -> Value {
        match Style::parse(style).filter(|_| is_token(token)) {
            Some(style) => self.0.subscriptions.shown(style, token),
            None => Value::Null,
        }
    }
}
