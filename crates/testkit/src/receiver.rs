//! A web server that remembers what it is sent and answers as told: whom webhooks are sent to.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reveille_service::lifecycle::Lifecycle;
use tokio::net::TcpListener;

/// One request that came.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

/// Answers a request by what it is.
type Handler = Box<dyn Fn(&Delivered) -> Response<Full<Bytes>> + Send + Sync>;

#[derive(Default)]
struct State {
    delivered: Mutex<Vec<Delivered>>,
    answers: Mutex<VecDeque<Response<Full<Bytes>>>>,
    handler: Option<Handler>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("delivered", &self.delivered).finish_non_exhaustive()
    }
}

/// A running receiver on loopback, plain HTTP.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    lifecycle: Lifecycle,
}

impl Receiver {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn start() -> Self {
        Self::start_as(State::default()).await
    }

    /// Starts one that answers each request by what it is, where no answer is queued.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn start_with(
        handler: impl Fn(&Delivered) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(State { handler: Some(Box::new(handler)), ..State::default() }).await
    }

    async fn start_as(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(state);
        let shared = Arc::clone(&state);
        let lifecycle = Lifecycle::default();
        let life = lifecycle.clone();
        lifecycle.spawn_brief(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = life.stopping() => return,
                };
                let Ok((stream, _)) = accepted else { return };
                let state = Arc::clone(&shared);
                life.spawn_brief(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    // How a client ends a connection is its affair.
                    drop(connection.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { address, state, lifecycle }
    }

    /// Queues answers for the next requests; after them it is 200.
    pub fn answer(&self, responses: impl IntoIterator<Item = Response<Full<Bytes>>>) {
        lock(&self.state.answers).extend(responses);
    }

    /// What came so far.
    pub fn delivered(&self) -> Vec<Delivered> {
        lock(&self.state.delivered).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let delivered = Delivered { headers: head.headers, body };
    lock(&state.delivered).push(delivered.clone());
    let queued = lock(&state.answers).pop_front();
    let by_what_it_is = || state.handler.as_ref().map(|handler| handler(&delivered));
    Ok(queued.or_else(by_what_it_is).unwrap_or_default())
}
