//! HTTP/1.1, which FCM and its token endpoint also speak.

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
use super::{Answer, Inbound};
use crate::fcm;
use crate::state::State;

/// Serves one connection.
pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let broken = Arc::new(Notify::new());
    let breaker = Arc::clone(&broken);
    let service = service_fn(move |request| {
        let (state, breaker) = (Arc::clone(&state), Arc::clone(&breaker));
        async move { Ok::<_, Infallible>(respond(&state, request, &breaker).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = connection => if ended.is_err() {
            tracing::debug!("an HTTP/1.1 connection ended early");
        },
        () = broken.notified() => {}
    }
}

async fn respond(
    state: &State,
    request: Request<Incoming>,
    breaker: &Notify,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return refused;
    };
    let path = head.uri.path().to_owned();
    let inbound =
        Inbound { method: head.method, path, headers: head.headers, body: body.to_bytes() };
    match fcm::answer(state, inbound).await {
        Answer::Reply(reply) | Answer::GoawayGraceful(reply) => reply.map(Full::new),
        Answer::Stall => pending().await,
        Answer::Reset | Answer::Refused | Answer::Close | Answer::Goaway => {
            breaker.notify_one();
            pending().await
        }
    }
}
