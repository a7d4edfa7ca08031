//! A push service that speaks HTTP/1.1 byte by byte, for what no look-alike does.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::rig::{OWN, Rig};

/// What a server names that speaks nothing newer.
pub(crate) const HTTP_1: &[&[u8]] = &[b"http/1.1"];

pub(crate) struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    pub(crate) port: u16,
}

/// What a server does once it has answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    Close,
    /// Waits until the client goes.
    Wait,
}

impl Server {
    /// At [`OWN`], which the rig's senders may send to from now on. `protocols` are named in ALPN.
    pub(crate) async fn start(rig: &mut Rig, protocols: &[&[u8]]) -> Self {
        let certificate = CertificateDer::from_pem_file(rig.sandbox.file("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(rig.sandbox.file("server.key")).unwrap();
        let mut tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        rig.guard.origins.push(format!("https://{OWN}:{port}"));
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(tls)), port }
    }

    /// Takes one connection, reads one request, writes `reply` as it is. Returns the request's head and its body.
    pub(crate) async fn answer(&self, reply: &[u8], then: Then) -> (String, Vec<u8>) {
        within_time(self.answer_next(reply, then)).await
    }

    async fn answer_next(&self, reply: &[u8], then: Then) -> (String, Vec<u8>) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut stream = self.acceptor.accept(stream).await.unwrap();
        let request = read(&mut stream).await;
        // The client may have read enough of it.
        drop(stream.write_all(reply).await);
        drop(stream.flush().await);
        match then {
            Then::Close => drop(stream.shutdown().await),
            Then::Wait => drop(stream.read_to_end(&mut Vec::new()).await),
        }
        request
    }
}

/// A client that does not come, or does not go, fails the test instead of holding it up.
pub(crate) async fn within_time<T>(serving: impl Future<Output = T>) -> T {
    let time = reveille_model::Duration::from_s(30).to_std();
    tokio::time::timeout(time, serving).await.expect("a client that comes and goes")
}

/// Reads one request with a `content-length`, or without a body.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}
