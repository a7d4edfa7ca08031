//! Accepting connections.

use std::sync::Arc;
use std::time::Duration;

use reveille_model::Provider;
use reveille_service::lifecycle::Lifecycle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::{Client, Connection, http1, http2};
use crate::fault::FaultReply;
use crate::state::State;

/// Most connections at once.
const CONNECTIONS_MAX: usize = 4_096;
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// A port: where connections come from, and whose look-alike answers them.
pub(crate) struct Accept {
    pub(crate) listener: TcpListener,
    pub(crate) tls: TlsAcceptor,
    pub(crate) provider: Provider,
}

/// Serves a port until the lifecycle stops.
pub(crate) async fn serve(accept: Accept, state: Arc<State>, lifecycle: Lifecycle) {
    let Accept { listener, tls, provider } = accept;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = lifecycle.stopping() => return,
        };
        let Ok((stream, _)) = accepted else {
            state.wait(100).await;
            continue;
        };
        let (tls, state, life) = (tls.clone(), Arc::clone(&state), lifecycle.clone());
        lifecycle.spawn_brief(async move {
            tokio::select! {
                () = connection((stream, provider), tls, state, &life) => {}
                () = life.stopping() => {}
            }
            drop(place);
        });
    }
}

async fn connection(
    (stream, provider): (TcpStream, Provider),
    tls: TlsAcceptor,
    state: Arc<State>,
    life: &Lifecycle,
) {
    state.port(provider).count_connection();
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let fault = state.faults().take_for_connection(provider);
    if let Some(fault) = fault {
        if fault.reply == FaultReply::RefuseConnection {
            return;
        }
        state.wait(fault.delay_ms.unwrap_or_default()).await;
    }
    // A handshake that fails is the client's affair.
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await else {
        return;
    };
    let session = stream.get_ref().1;
    let is_http2 = session.alpn_protocol() == Some(b"h2".as_slice());
    let client = match session.peer_certificates() {
        Some(_) => Client::Certified,
        None => Client::Unknown,
    };
    let connection = Arc::new(Connection::new(state, provider, client));
    if is_http2 {
        http2::serve(stream, connection, life).await;
    } else if provider != Provider::Apns {
        http1::serve(stream, connection).await;
    }
}
