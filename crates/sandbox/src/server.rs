//! Binding and serving.

use std::net::SocketAddr;
use std::sync::Arc;

use reveille_service::lifecycle::Lifecycle;
use reveille_service::listen;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

use crate::state::State;
use crate::{Received, SandboxConfig, control, transport};

/// A sandbox whose ports are bound.
#[derive(Debug)]
pub struct Sandbox {
    config: SandboxConfig,
    fcm: TcpListener,
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
        let fcm = bind("fcm", config.fcm).await?;
        let control = bind("control", config.control).await?;
        Ok(Self { config, fcm, control })
    }

    /// Serves until the lifecycle stops.
    pub fn start(self, lifecycle: &Lifecycle) -> Watch {
        let Self { config, fcm, control } = self;
        let state = State::new(config.accounts, config.received_max, config.token_life_s);
        tracing::info!(fcm = %config.fcm, control = %config.control, "the sandbox is listening");
        let serving = transport::serve(
            fcm,
            config.tls.acceptor(),
            Arc::clone(&state),
            config.streams_max,
            lifecycle.clone(),
        );
        lifecycle.spawn("sandbox fcm", serving);
        let router = control::router(Arc::clone(&state));
        lifecycle.spawn("sandbox control", listen::serve(control, None, router, lifecycle.clone()));
        Watch(state)
    }
}

/// Shows pushes as they arrive.
#[derive(Debug)]
pub struct Watch(Arc<State>);

impl Watch {
    /// Pushes from now on. One who reads too slowly misses some.
    pub fn pushes(&self) -> broadcast::Receiver<Received> {
        self.0.watch()
    }
}
