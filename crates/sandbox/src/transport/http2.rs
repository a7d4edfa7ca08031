//! HTTP/2 on the `h2` crate directly: resets, refusals and GOAWAY cannot be played through a server library.

use std::future::pending;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response, StatusCode};
use reveille_service::lifecycle::Lifecycle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::message::BODY_BYTES_MAX;
use super::{Answer, Inbound};
use crate::fcm;
use crate::state::State;

/// What a stream asks its connection to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Goaway,
    GoawayGraceful,
    Close,
}

/// Orders that may wait for a connection.
const ORDERS_MAX: usize = 16;

/// What `h2` allows a peer of small DATA frames before it hangs up, in bytes. Its default takes a hundred pushes at once for an attack.
const DATA_FRAME_BUDGET: usize = 64 * 1024 * 1024;

/// Serves one connection.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    state: Arc<State>,
    streams_max: u32,
    life: &Lifecycle,
) {
    let handshake = Builder::new()
        .max_concurrent_streams(streams_max)
        .data_frame_budget(DATA_FRAME_BUDGET)
        .handshake::<_, Bytes>(stream);
    let Ok(mut connection) = handshake.await else { return };
    let (orders, mut queue) = mpsc::channel(ORDERS_MAX);
    loop {
        tokio::select! {
            biased;
            order = queue.recv() => match order {
                Some(Order::Goaway) => connection.abrupt_shutdown(Reason::NO_ERROR),
                Some(Order::GoawayGraceful) => connection.graceful_shutdown(),
                Some(Order::Close) | None => return,
            },
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let (state, orders) = (Arc::clone(&state), orders.clone());
                    life.spawn_brief(stream_task(state, request, respond, orders));
                }
                Some(Err(_)) | None => return,
            },
        }
    }
}

async fn stream_task(
    state: Arc<State>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    orders: mpsc::Sender<Order>,
) {
    let (head, body) = request.into_parts();
    let Some(body) = read(body).await else {
        send(&mut respond, too_large());
        return;
    };
    let path = head.uri.path().to_owned();
    let inbound = Inbound { method: head.method, path, headers: head.headers, body };
    match fcm::answer(&state, inbound).await {
        Answer::Reply(reply) => send(&mut respond, reply),
        Answer::GoawayGraceful(reply) => {
            order(&orders, Order::GoawayGraceful).await;
            send(&mut respond, reply);
        }
        Answer::Stall => tokio::select! {
            // Until the client gives the stream up or goes away.
            _ = std::future::poll_fn(|cx| respond.poll_reset(cx)) => {}
            () = orders.closed() => {}
        },
        Answer::Reset => respond.send_reset(Reason::INTERNAL_ERROR),
        Answer::Refused => respond.send_reset(Reason::REFUSED_STREAM),
        Answer::Close => order(&orders, Order::Close).await,
        Answer::Goaway => {
            order(&orders, Order::Goaway).await;
            // Kept open: the connection's end is what the client gets.
            orders.closed().await;
            pending::<()>().await;
        }
    }
}

async fn order(orders: &mpsc::Sender<Order>, order: Order) {
    if orders.send(order).await.is_err() {
        tracing::debug!("the connection was gone already");
    }
}

/// The whole body; nothing where it is too large or the client gave up.
async fn read(mut body: RecvStream) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.ok()?;
        if whole.len() + chunk.len() > BODY_BYTES_MAX {
            return None;
        }
        body.flow_control().release_capacity(chunk.len()).ok()?;
        whole.extend_from_slice(&chunk);
    }
    Some(whole.freeze())
}

fn send(respond: &mut SendResponse<Bytes>, reply: Response<Bytes>) {
    let (head, body) = reply.into_parts();
    let sent = respond
        .send_response(Response::from_parts(head, ()), false)
        .and_then(|mut stream| stream.send_data(body, true));
    if sent.is_err() {
        tracing::debug!("the client was gone before its answer");
    }
}

fn too_large() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response
}
