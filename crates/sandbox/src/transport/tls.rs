//! Accepting connections.

use std::sync::Arc;
use std::time::Duration;

use reveille_service::lifecycle::Lifecycle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::{http1, http2};
use crate::state::State;

/// Most connections at once.
const CONNECTIONS_MAX: usize = 4_096;
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Serves the FCM port until the lifecycle stops.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    state: Arc<State>,
    streams_max: u32,
    lifecycle: Lifecycle,
) {
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
                () = connection(stream, tls, state, streams_max, &life) => {}
                () = life.stopping() => {}
            }
            drop(place);
        });
    }
}

async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    state: Arc<State>,
    streams_max: u32,
    life: &Lifecycle,
) {
    state.count_connection();
    if stream.set_nodelay(true).is_err() {
        return;
    }
    // A handshake that fails is the client's affair.
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await else {
        return;
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2".as_slice()) {
        http2::serve(stream, state, streams_max, life).await;
    } else {
        http1::serve(stream, state).await;
    }
}
