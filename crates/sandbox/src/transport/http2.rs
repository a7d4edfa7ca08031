//! HTTP/2 on the `h2` crate directly: resets, refusals and GOAWAY cannot be played through a server library.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response, StatusCode};
use reveille_model::Provider;
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_service::lifecycle::Lifecycle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::frames::{Frames, Wire};
use super::ledger::{Ledger, Over};
use super::message::BODY_BYTES_MAX;
use super::{Answer, Connection, Inbound};

/// What a stream asks its connection to do.
#[derive(Debug)]
enum Order {
    Goaway(Option<String>),
    GoawayGraceful(Option<String>),
    Close,
    /// The client has been answered and has shown who it is.
    Widen,
}

/// Orders that may wait for a connection.
const ORDERS_MAX: usize = 16;

/// What `h2` allows a peer of small DATA frames before it hangs up, in bytes. Its default takes a hundred pushes at once for an attack.
const DATA_FRAME_BUDGET: usize = 64 * 1024 * 1024;

/// How many streams APNs allows a client that has not yet shown who it is.
const UNPROVEN_STREAMS_MAX: u32 = 1;

/// Serves one connection.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: Arc<Connection>,
    life: &Lifecycle,
) {
    let mut limit = connection.state.port(connection.provider).streams_max.subscribe();
    let first =
        if connection.is_proven() { *limit.borrow_and_update() } else { UNPROVEN_STREAMS_MAX };
    let wire = Wire::new(Ledger::new(first, || SystemClock.now()));
    let handshake = Builder::new()
        .data_frame_budget(DATA_FRAME_BUDGET)
        .handshake::<_, Bytes>(Frames::new(stream, Arc::clone(&wire)));
    let Ok(mut http2) = handshake.await else { return };
    let (orders, mut queue) = mpsc::channel(ORDERS_MAX);
    let mut is_wide = connection.is_proven();
    loop {
        tokio::select! {
            biased;
            order = queue.recv() => match order {
                Some(Order::Goaway(reason)) => {
                    give_reason(&wire, reason);
                    http2.abrupt_shutdown(Reason::NO_ERROR);
                }
                Some(Order::GoawayGraceful(reason)) => {
                    give_reason(&wire, reason);
                    http2.graceful_shutdown();
                }
                Some(Order::Widen) => if !is_wide {
                    is_wide = true;
                    wire.announce(*limit.borrow_and_update());
                },
                Some(Order::Close) | None => return,
            },
            // The sender lives as long as the state.
            _ = limit.changed(), if is_wide => wire.announce(*limit.borrow_and_update()),
            accepted = http2.accept() => match accepted {
                Some(Ok((request, mut respond))) => {
                    let over = wire.take_over(respond.stream_id().into());
                    match judge(&connection, over) {
                        Judgement::Obedient => {}
                        Judgement::Refused => {
                            respond.send_reset(Reason::REFUSED_STREAM);
                            continue;
                        }
                        Judgement::SentAway => {
                            give_reason(&wire, Some(VIOLATED.to_owned()));
                            http2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                            continue;
                        }
                    }
                    let (connection, orders) = (Arc::clone(&connection), orders.clone());
                    life.spawn_brief(stream_task(connection, request, respond, orders));
                }
                Some(Err(_)) | None => return,
            },
        }
    }
}

/// What APNs tells a client with too many streams (seen, not documented).
const VIOLATED: &str = "active streams violated";

enum Judgement {
    Obedient,
    Refused,
    SentAway,
}

/// A stream too many: APNs sends a client away that knew better, the others refuse the stream.
fn judge(connection: &Connection, over: Option<Over>) -> Judgement {
    if over == Some(Over::Violation) {
        connection.state.port(connection.provider).count_violation();
    }
    match (over, connection.provider) {
        (None, _) | (Some(Over::Unknowing), Provider::Apns) => Judgement::Obedient,
        (Some(Over::Violation), Provider::Apns) => Judgement::SentAway,
        (Some(_), _) => Judgement::Refused,
    }
}

fn give_reason(wire: &Wire, reason: Option<String>) {
    if let Some(reason) = reason {
        wire.give_reason(&reason);
    }
}

async fn stream_task(
    connection: Arc<Connection>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    orders: mpsc::Sender<Order>,
) {
    let (head, body) = request.into_parts();
    let Some(body) = read(body).await else {
        send(&mut respond, too_large());
        return;
    };
    let was_proven = connection.is_proven();
    match connection.answer(Inbound::new(head, body)).await {
        Answer::Reply(reply) => {
            send(&mut respond, reply);
            if !was_proven && connection.is_proven() {
                order(&orders, Order::Widen).await;
            }
        }
        Answer::GoawayGraceful(reason, reply) => {
            order(&orders, Order::GoawayGraceful(reason)).await;
            send(&mut respond, reply);
        }
        Answer::Interim(status) => {
            let mut interim = Response::new(());
            *interim.status_mut() = status;
            if respond.send_informational(interim).is_err() {
                tracing::debug!("the client was gone before its answer");
            }
            stall(&mut respond, &orders).await;
        }
        Answer::Stall => stall(&mut respond, &orders).await,
        Answer::Reset => respond.send_reset(Reason::INTERNAL_ERROR),
        Answer::Refused => respond.send_reset(Reason::REFUSED_STREAM),
        Answer::Close => order(&orders, Order::Close).await,
        Answer::Goaway(reason) => {
            order(&orders, Order::Goaway(reason)).await;
            // Kept open: the connection's end is what the client gets.
            orders.closed().await;
        }
    }
}

/// Waits until the client gives the stream up or goes away.
async fn stall(respond: &mut SendResponse<Bytes>, orders: &mpsc::Sender<Order>) {
    tokio::select! {
        _ = std::future::poll_fn(|cx| respond.poll_reset(cx)) => {}
        () = orders.closed() => {}
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
    let is_all = body.is_empty();
    let sent = respond
        .send_response(Response::from_parts(head, ()), is_all)
        .and_then(|mut stream| if is_all { Ok(()) } else { stream.send_data(body, true) });
    if sent.is_err() {
        tracing::debug!("the client was gone before its answer");
    }
}

fn too_large() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response
}
