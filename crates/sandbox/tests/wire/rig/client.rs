//! Clients: the `h2` crate, HTTP/1.1 by hand, and HTTP/2 frames by hand.

use std::sync::Arc;

use bytes::Bytes;
use h2::PingPong;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Rig;

/// A certificate and its key, PEM.
pub(crate) type Identity<'a> = (&'a str, &'a str);

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn connect(
    rig: &Rig,
    port: u16,
    protocol: &[u8],
    identity: Option<Identity<'_>>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&rig.file("ca.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// A client on the `h2` crate.
pub(crate) struct Http2 {
    pub(crate) sender: SendRequest<Bytes>,
    pings: PingPong,
    /// The one there is. It stops with the client.
    connections: JoinSet<Result<(), h2::Error>>,
    authority: String,
}

impl Http2 {
    pub(crate) async fn connect(rig: &Rig, port: u16) -> Self {
        Self::with_identity(rig, port, None).await.unwrap()
    }

    pub(crate) async fn with_identity(
        rig: &Rig,
        port: u16,
        identity: Option<Identity<'_>>,
    ) -> std::io::Result<Self> {
        let stream = connect(rig, port, b"h2", identity).await?;
        let handshake = h2::client::Builder::new().initial_max_send_streams(1).handshake(stream);
        let (sender, mut connection) = handshake.await.map_err(std::io::Error::other)?;
        let pings = connection.ping_pong().unwrap();
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        Ok(Self { sender, pings, connections, authority: format!("127.0.0.1:{port}") })
    }

    pub(crate) async fn send(
        &mut self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, h2::Error> {
        let uri = format!("https://{}{path}", self.authority);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request.body(()).unwrap(), false)?;
        // The server may have answered without reading it.
        drop(stream.send_data(body.into(), true));
        let (head, mut body) = response.await?.into_parts();
        let mut whole = Vec::new();
        while let Some(chunk) = body.data().await {
            whole.extend_from_slice(&chunk?);
        }
        let body = String::from_utf8(whole).unwrap();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Returns once the connection has ended, and says how.
    pub(crate) async fn end(mut self) -> Result<(), h2::Error> {
        self.connections.join_next().await.unwrap().unwrap()
    }

    /// Returns once the server allows so many streams.
    pub(crate) async fn wait_for_streams(&mut self, streams: usize) {
        while self.sender.current_max_send_streams() != streams {
            self.pings.ping(h2::Ping::opaque()).await.unwrap();
        }
    }
}

/// A client of HTTP/1.1; each request has a connection of its own.
pub(crate) struct Http1;

impl Http1 {
    pub(crate) async fn send(
        rig: &Rig,
        port: u16,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<String> {
        let mut stream = connect(rig, port, b"http/1.1", None).await?;
        let more = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{}connection: close\r\ncontent-length: {}\r\n\r\n",
            more.collect::<String>(),
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

/// A client that writes frames by hand and keeps to nothing.
pub(crate) struct Raw(TlsStream<TcpStream>);

impl Raw {
    pub(crate) async fn connect(rig: &Rig, port: u16) -> Self {
        let mut stream = connect(rig, port, b"h2", None).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut raw = Self(stream);
        raw.write(4, 0, 0, &[]).await;
        raw
    }

    pub(crate) async fn write(&mut self, kind: u8, flags: u8, stream: u8, body: &[u8]) {
        let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
        let head = [0, high, low, kind, flags, 0, 0, 0, stream];
        self.0.write_all(&[head.as_slice(), body].concat()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// A whole push on the first stream.
    pub(crate) async fn push(&mut self, bearer: &str, topic: &str, body: &str) {
        // POST, https, and three fields that stand for themselves.
        let mut fields = vec![0x83, 0x87];
        for (name, value) in
            [(":path", "/3/device/aa"), ("authorization", bearer), ("apns-topic", topic)]
        {
            for text in [name, value] {
                if name == text {
                    fields.push(0);
                }
                // HPACK's integers of seven bits (RFC 7541 §5.1).
                let length = text.len();
                if length < 127 {
                    fields.push(u8::try_from(length).unwrap());
                } else {
                    let rest = length - 127;
                    fields.extend([127, u8::try_from(rest % 128).unwrap() | 128]);
                    fields.push(u8::try_from(rest / 128).unwrap());
                }
                fields.extend_from_slice(text.as_bytes());
            }
        }
        self.write(1, 4, 1, &fields).await;
        self.write(0, 1, 1, body.as_bytes()).await;
    }

    /// The next frame: kind, flags, body.
    pub(crate) async fn read(&mut self) -> (u8, u8, Vec<u8>) {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.unwrap();
        let mut body = vec![0; usize::from(head[1]) * 256 + usize::from(head[2])];
        self.0.read_exact(&mut body).await.unwrap();
        (head[3], head[4], body)
    }

    /// The next frame of a kind.
    pub(crate) async fn read_kind(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let (found, _, body) = self.read().await;
            if found == kind {
                return body;
            }
        }
    }
}
