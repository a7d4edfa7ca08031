//! Sockets, with bounds on connections, sizes and times, and a graceful end.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration as StdDuration;

use axum::Router;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use reveille_model::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::clock::{Clock as _, SystemClock, moment};
use crate::config::ServerTls;
use crate::lifecycle::Lifecycle;
use crate::places::{PerAddress, Places};

/// Most connections one listener holds unless it is told otherwise. Beyond it new ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 8_192;
/// Longest time for a request's head to arrive, and for a connection to do nothing.
const HEAD_TIME_MAX: StdDuration = StdDuration::from_secs(30);
/// Longest time for a connection to end when nothing is under way on it.
const GOODBYE_TIME_MAX: StdDuration = StdDuration::from_secs(2);
/// Longest time for a TLS handshake.
const HANDSHAKE_TIME_MAX: StdDuration = StdDuration::from_secs(10);
/// Largest request head unless a listener is told otherwise, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most streams one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 250;
/// How long to wait after a connection could not be accepted.
const ACCEPT_RETRY: Duration = Duration::from_ms(100);
/// How often an idle HTTP/2 connection is asked whether it is still there.
const PING_INTERVAL: StdDuration = StdDuration::from_mins(1);

/// Where a request's connection comes from; an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// How a listener is to be.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Its certificate; without one it speaks plain HTTP.
    pub tls: Option<ServerTls>,
    /// Most connections at once.
    pub connections_max: usize,
    /// Largest request head, in bytes.
    pub head_bytes_max: usize,
    /// Of those connections, how many one address may hold; where strangers call.
    pub per_address: Option<PerAddress>,
}

impl Default for Listening {
    fn default() -> Self {
        Self {
            tls: None,
            connections_max: CONNECTIONS_MAX,
            head_bytes_max: HEAD_BYTES_MAX,
            per_address: None,
        }
    }
}

impl From<Option<ServerTls>> for Listening {
    fn from(tls: Option<ServerTls>) -> Self {
        Self { tls, ..Self::default() }
    }
}

/// Serves a router on a bound socket until the lifecycle stops; requests under way are answered.
pub async fn serve(
    listener: TcpListener,
    listening: Listening,
    router: Router,
    lifecycle: Lifecycle,
) {
    let Listening { tls, connections_max, head_bytes_max, per_address } = listening;
    let places = Places::new(connections_max, per_address);
    loop {
        let Some(free) = places.free().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = lifecycle.stopping() => return,
        };
        let Some((stream, peer)) = usable(accepted).await else { continue };
        let Some(place) = places.give(free, peer.ip()) else { continue };
        let (tls, life) = (tls.as_ref().map(ServerTls::acceptor), lifecycle.clone());
        let service = OfPeer {
            router: TowerToHyperService::new(router.clone()),
            peer: Peer(peer.ip()),
            requests: Arc::new(Requests::new()),
            head_bytes_max,
        };
        lifecycle.spawn_brief(async move {
            connection(stream, tls, service, &life).await;
            drop(place);
        });
    }
}

/// A connection, or nothing where accepting failed: out of file descriptors, or a peer that is gone again.
async fn usable(
    accepted: std::io::Result<(TcpStream, SocketAddr)>,
) -> Option<(TcpStream, SocketAddr)> {
    match accepted {
        Ok((stream, peer)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection was gone at once");
            }
            Some((stream, peer))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            // Out of file descriptors, most likely: wait for some to be freed instead of spinning.
            SystemClock.sleep(ACCEPT_RETRY).await;
            None
        }
    }
}

/// The router, told of each request where it comes from.
#[derive(Clone)]
struct OfPeer {
    router: TowerToHyperService<Router>,
    peer: Peer,
    requests: Arc<Requests>,
    head_bytes_max: usize,
}

/// The requests of a connection. They only leave word: to wake somebody at each would have the connection's task run twice more a request.
#[derive(Debug)]
struct Requests {
    /// When the connection began.
    begun: Instant,
    under_way: AtomicUsize,
    /// When the last one ended, in milliseconds since the connection began.
    ended_ms: AtomicU64,
}

impl Requests {
    fn new() -> Self {
        Self { begun: moment(), under_way: AtomicUsize::new(0), ended_ms: AtomicU64::new(0) }
    }

    fn ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Since when none is under way, in milliseconds; now, where one is.
    fn quiet_since_ms(&self) -> u64 {
        match self.under_way.load(Ordering::Acquire) {
            0 => self.ended_ms.load(Ordering::Acquire),
            _ => self.ms(),
        }
    }

    /// Returns when none was under way for so long, from now on.
    async fn idle(&self, time_max: StdDuration) {
        let mut since_ms = self.ms();
        loop {
            let end = self.begun + StdDuration::from_millis(since_ms) + time_max;
            tokio::time::sleep_until(end).await;
            let quiet_since_ms = self.quiet_since_ms();
            if quiet_since_ms <= since_ms {
                return;
            }
            since_ms = quiet_since_ms;
        }
    }
}

/// A request under way.
struct UnderWay(Arc<Requests>);

impl UnderWay {
    fn begin(requests: &Arc<Requests>) -> Self {
        requests.under_way.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(requests))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended_ms.fetch_max(self.0.ms(), Ordering::AcqRel);
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Service<Request<Incoming>> for OfPeer {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        let (answer, under_way) = (self.router.call(request), UnderWay::begin(&self.requests));
        Box::pin(async move {
            let answer = answer.await;
            drop(under_way);
            answer
        })
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    service: OfPeer,
    life: &Lifecycle,
) {
    match tls {
        None => {
            // Which protocol it is shows with the first bytes, and only then hyper begins to count the time.
            let mut byte = [0];
            let first = tokio::time::timeout(HEAD_TIME_MAX, stream.peek(&mut byte));
            let came = tokio::select! {
                came = first => matches!(came, Ok(Ok(1..))),
                () = life.stopping() => false,
            };
            if came {
                http(stream, auto::Builder::new(TokioExecutor::new()), service, life).await;
            }
        }
        Some(acceptor) => {
            let handshake = tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream));
            // A handshake that fails is the peer's affair.
            if let Ok(Ok(stream)) = handshake.await {
                let builder = auto::Builder::new(TokioExecutor::new());
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2".as_slice());
                let builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
                http(stream, builder, service, life).await;
            }
        }
    }
}

async fn http(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    mut builder: auto::Builder<TokioExecutor>,
    service: OfPeer,
    life: &Lifecycle,
) {
    let head_bytes_max = service.head_bytes_max;
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(head_bytes_max)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(head_bytes_max).unwrap_or(u32::MAX));
    let requests = Arc::clone(&service.requests);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { tokio::select! {
            () = life.stopping() => {}
            // Whatever it is that keeps it silent, it does not keep a place for ever.
            () = requests.idle(HEAD_TIME_MAX) => {}
        } } => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = requests.idle(GOODBYE_TIME_MAX) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        // A peer that breaks off or speaks no HTTP. Its words are not repeated.
        tracing::debug!(incomplete = error.is::<std::io::Error>(), "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::{Listening, serve};
    use crate::lifecycle::Lifecycle;
    use axum::Router;
    use axum::routing::get;
    use reveille_model::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    async fn server() -> (TcpStream, Lifecycle) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lifecycle = Lifecycle::default();
        let router = Router::new().route("/", get(async || "hello"));
        lifecycle.spawn("server", serve(listener, Listening::default(), router, lifecycle.clone()));
        (TcpStream::connect(address).await.unwrap(), lifecycle)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_its_head_too_slowly_is_hung_up_on() {
        let (mut client, _lifecycle) = server().await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nslow: ").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.contains("408"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_says_which_protocol_it_speaks_is_hung_up_on() {
        for beginning in [&b"P"[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let (mut client, _lifecycle) = server().await;
            client.write_all(beginning).await.unwrap();
            let mut answer = Vec::new();
            // Settings and farewells of HTTP/2 may come before.
            client.read_to_end(&mut answer).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_hung_up_on() {
        let (mut client, _lifecycle) = server().await;
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_stop_closes_idle_connections_after_their_answers() {
        let (mut client, lifecycle) = server().await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut start = [0; 15];
        client.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        lifecycle.stop();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(b"hello"));
        assert_eq!(lifecycle.finish(Duration::from_s(5)).await, Ok(()));
    }
}
