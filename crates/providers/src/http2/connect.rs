//! Making a connection.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::goaway::Watched;
use super::{Origin, PoolSettings};

/// Anything a connection runs on.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(super) type Opened =
    (SendRequest<Full<Bytes>>, Connection<TokioIo<Box<dyn Io>>, Full<Bytes>, TokioExecutor>);

/// Connects anew, resolving the name anew, so that connections land on different machines of the peer.
pub(super) async fn connect(
    origin: &Origin,
    tls: &Arc<ClientConfig>,
    settings: &PoolSettings,
) -> io::Result<Opened> {
    let stream = TcpStream::connect((origin.host.as_str(), origin.port)).await?;
    stream.set_nodelay(true)?;
    let io: Box<dyn Io> =
        if origin.tls { Box::new(handshake(origin, tls, stream).await?) } else { Box::new(stream) };
    let host = origin.host.clone();
    let io: Box<dyn Io> = Box::new(Watched::new(io, move |goaway| {
        tracing::warn!(
            host,
            code = goaway.code,
            reason = goaway.reason,
            "the peer closes a connection"
        );
    }));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_max_send_streams(settings.first_streams.max(1))
        .keep_alive_interval(settings.ping_interval.to_std())
        .keep_alive_timeout(settings.ping_timeout.to_std())
        .keep_alive_while_idle(true);
    builder.handshake(TokioIo::new(io)).await.map_err(io::Error::other)
}

async fn handshake(
    origin: &Origin,
    tls: &Arc<ClientConfig>,
    stream: TcpStream,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from(origin.host.clone()).map_err(io::Error::other)?;
    let mut config = ClientConfig::clone(tls);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2".as_slice()) {
        Ok(stream)
    } else {
        Err(io::Error::other("the peer does not speak HTTP/2"))
    }
}
