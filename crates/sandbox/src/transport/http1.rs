//! HTTP/1.1, which FCM, its token endpoint and Web Push services also speak.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::message::BODY_BYTES_MAX;
use super::{Answer, Connection, Inbound};

/// Serves one connection.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: Arc<Connection>,
) {
    let broken = Arc::new(Notify::new());
    let breaker = Arc::clone(&broken);
    let service = service_fn(move |request| {
        let (connection, breaker) = (Arc::clone(&connection), Arc::clone(&breaker));
        async move { Ok::<_, Infallible>(respond(&connection, request, &breaker).await) }
    });
    let serving =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = serving => if ended.is_err() {
            tracing::debug!("an HTTP/1.1 connection ended early");
        },
        () = broken.notified() => {}
    }
}

async fn respond(
    connection: &Connection,
    request: Request<Incoming>,
    breaker: &Notify,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return refused;
    };
    match connection.answer(Inbound::new(head, body.to_bytes())).await {
        Answer::Reply(reply) | Answer::GoawayGraceful(_, reply) => reply.map(Full::new),
        // The library sends no status below 200 of its own accord.
        Answer::Stall | Answer::Interim(_) => pending().await,
        Answer::Reset | Answer::Refused | Answer::Close | Answer::Goaway(_) => {
            breaker.notify_one();
            pending().await
        }
    }
}
