//! Serves the page, and what it needs that is not public: sending as a site would, and the sandbox.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderValue, StatusCode, header};
use reveille_model::Duration;
use reveille_sandbox::{Received, Watch};
use reveille_service::lifecycle::Lifecycle;
use reveille_service::listen;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

/// What tokens of pages begin with.
const PREFIX: &str = "demo-";
/// Pushes to pages that are remembered.
const PUSHES_MAX: usize = 1_000;
/// How long a page waits for a push before it asks again.
const WAIT_MAX: Duration = Duration::from_s(20);
/// How long our own servers may take.
const TIME_MAX: Duration = Duration::from_s(10);

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, type and text of each file. What is below `/reveille` is what sites copy.
const FILES: [(&str, &str, &str); 9] = [
    ("/", "text/html; charset=utf-8", include_str!("web/index.html")),
    ("/demo.css", "text/css; charset=utf-8", include_str!("web/demo.css")),
    ("/demo.js", JAVASCRIPT, include_str!("web/demo.js")),
    ("/sandbox.js", JAVASCRIPT, include_str!("web/sandbox.js")),
    ("/keys.js", JAVASCRIPT, include_str!("web/keys.js")),
    ("/worker.js", JAVASCRIPT, include_str!("web/worker.js")),
    (
        "/reveille/reveille.js",
        JAVASCRIPT,
        include_str!("../../../../clients/javascript/reveille.js"),
    ),
    ("/reveille/worker.js", JAVASCRIPT, include_str!("../../../../clients/javascript/worker.js")),
    ("/reveille/kept.js", JAVASCRIPT, include_str!("../../../../clients/javascript/kept.js")),
];

/// Where the other servers are.
#[derive(Debug, Clone)]
pub(crate) struct DemoConfig {
    /// The private API.
    pub(crate) intake: String,
    /// The public API.
    pub(crate) public: String,
    /// The sandbox's control port.
    pub(crate) control: String,
    pub(crate) window_s: u32,
}

/// A demo that is ready to be served.
#[derive(Clone)]
pub(crate) struct Demo {
    config: Arc<DemoConfig>,
    client: reqwest::Client,
    pushes: watch::Sender<VecDeque<Received>>,
}

impl Demo {
    pub(crate) fn new(config: DemoConfig) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().no_proxy().timeout(TIME_MAX.to_std()).build()?;
        Ok(Self { config: Arc::new(config), client, pushes: watch::Sender::default() })
    }

    /// Serves it until the lifecycle stops.
    pub(crate) fn start(self, listener: TcpListener, sandbox: &Watch, lifecycle: &Lifecycle) {
        let mut arriving = sandbox.pushes();
        let (pushes, stopping) = (self.pushes.clone(), lifecycle.clone());
        lifecycle.spawn("demo pushes", async move {
            loop {
                let push = tokio::select! {
                    push = arriving.recv() => push,
                    () = stopping.stopping() => return,
                };
                match push {
                    Ok(push) if push.token.starts_with(PREFIX) => pushes.send_modify(|known| {
                        known.push_back(push);
                        known.drain(..known.len().saturating_sub(PUSHES_MAX));
                    }),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return stopping.stopping().await,
                }
            }
        });
        let policy =
            format!("default-src 'self'; img-src data:; connect-src 'self' {}", self.config.public);
        let files = FILES.into_iter().fold(Router::new(), |router, (path, kind, text)| {
            let policy = policy.clone();
            router.route(path, get(async move || file(kind, text, &policy)))
        });
        let router = files
            .route("/config.json", get(config))
            .route("/notifications", post(notify))
            .route("/sandbox/subscriptions", post(subscribe))
            .route("/sandbox/pushes/{token}", get(arrived))
            .with_state(self);
        lifecycle.spawn("demo", listen::serve(listener, None.into(), router, lifecycle.clone()));
    }
}

fn file(kind: &'static str, text: &'static str, policy: &str) -> Response {
    let mut response = ([(header::CONTENT_TYPE, kind)], text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(policy) = HeaderValue::from_str(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn config(State(demo): State<Demo>) -> Json<Value> {
    Json(json!({"public": demo.config.public, "window_s": demo.config.window_s}))
}

/// What the page asks to be sent to itself.
#[derive(Deserialize)]
struct ToSend {
    user: String,
    text: String,
}

/// Sends as the site's own server would.
async fn notify(State(demo): State<Demo>, Json(ToSend { user, text }): Json<ToSend>) -> Response {
    let body = json!({"users": [user], "type": "mention", "content": {"text": text}});
    demo.hand_on(&format!("{}/v1/notifications", demo.config.intake), &body).await
}

async fn subscribe(State(demo): State<Demo>, Json(body): Json<Value>) -> Response {
    let is_ours = |token: &str| token.starts_with(PREFIX);
    if !body.get("token").and_then(Value::as_str).is_some_and(is_ours) {
        return (StatusCode::BAD_REQUEST, format!("a token here begins with {PREFIX}"))
            .into_response();
    }
    demo.hand_on(&format!("{}/subscriptions", demo.config.control), &body).await
}

/// After how many pushes.
#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: usize,
}

/// Pushes to a token; waits a while where there is no new one.
async fn arrived(
    State(demo): State<Demo>,
    Path(token): Path<String>,
    Query(After { after }): Query<After>,
) -> Json<Vec<Received>> {
    let new = |known: &VecDeque<Received>| -> Vec<Received> {
        known.iter().filter(|push| push.token == token).skip(after).cloned().collect()
    };
    let mut watching = demo.pushes.subscribe();
    let coming = watching.wait_for(|known| !new(known).is_empty());
    let came = tokio::time::timeout(WAIT_MAX.to_std(), coming).await;
    Json(came.ok().and_then(Result::ok).map(|known| new(&known)).unwrap_or_default())
}

impl Demo {
    /// One request to a server of ours, and its answer as it is.
    async fn hand_on(&self, url: &str, body: &Value) -> Response {
        let request = self.client.post(url).header(header::CONTENT_TYPE, "application/json");
        let Ok(answer) = request.body(body.to_string()).send().await else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        let status = answer.status();
        match answer.bytes().await {
            Ok(body) => {
                (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
            Err(_) => StatusCode::BAD_GATEWAY.into_response(),
        }
    }
}
