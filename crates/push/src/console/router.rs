//! Every route of the console, on one screen.

use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{FromRequest, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::{HeaderValue, Method, StatusCode, header};
use maud::Markup;
use reveille_model::{CredentialSet, Duration, Provider, Providers};
use reveille_service::body::BodyLimits;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::problem::Problem;
use reveille_store::{Halt, StoreError, Which};
use tokio::sync::Semaphore;
use tower_http::csrf::CsrfLayer;

use super::live::{STREAMS_MAX, stream};
use super::page::{Page, Part, framed, login};
use super::session::{Refused, Sessions};
use super::{
    Console, Facts, assets, configuration, feedback, growth, look_up, overview, privacy, providers,
    subscriptions,
};
use crate::api::{ApiState, Deed};
use crate::config::ConsoleConfig;

/// Largest form, in bytes: a user of 255 bytes, each escaped.
const FORM_BYTES_MAX: usize = 4_096;
/// Longest time one may take to arrive.
const FORM_TIME_MAX: Duration = Duration::from_s(5);
/// Memory all of them may take together, in bytes.
const FORMS_TOGETHER_MAX: usize = 1024 * 1024;
/// What pages may load and do: what is ours, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The console's routes. `has_tls`: whether the listener speaks TLS itself.
pub(crate) fn router(
    api: ApiState,
    (config, has_tls): (&ConsoleConfig, bool),
    (key, facts): (hmac::Key, Facts),
    lifecycle: Lifecycle,
) -> Router {
    api.intake.board.remember_devices();
    let is_secure = config.secure_cookie.unwrap_or(has_tls);
    let sessions = Sessions::new(key, config.operators.clone(), (is_secure, config.login));
    let looks = Arc::default();
    let of = (Arc::clone(&api.intake.store), Arc::clone(&api.intake.clock));
    lifecycle.spawn("growth", growth::look(Arc::clone(&looks), of, lifecycle.clone()));
    let console = Console {
        looks,
        api,
        facts: Arc::new(facts),
        sessions: Arc::new(sessions),
        bodies: BodyLimits::new(FORM_BYTES_MAX, FORM_TIME_MAX, FORMS_TOGETHER_MAX),
        streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        lifecycle,
    };
    let inside = Router::new()
        .route("/console", get(show_overview))
        .route("/console/overview", get(show_overview))
        .route("/console/providers", get(show_providers).post(change_delivery))
        .route("/console/privacy", get(show_privacy))
        .route("/console/subscriptions", get(show_subscriptions).post(find))
        .route("/console/feedback", get(show_feedback).post(change_quarantine))
        .route("/console/configuration", get(show_configuration))
        .route("/console/live/{page}", get(stream))
        .route_layer(from_fn_with_state(console.clone(), only_operators));
    let outside = Router::new()
        .route("/console/login", get(async || login(None)).post(log_in))
        .route("/console/logout", post(log_out))
        .route("/console/assets/{name}", get(assets::asset));
    inside.merge(outside).layer(CsrfLayer::new()).layer(from_fn(secure)).with_state(console)
}

/// What a browser may do with our pages.
async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whoever is not logged in is asked to.
async fn only_operators(State(console): State<Console>, request: Request, next: Next) -> Response {
    if console.sessions.knows(request.headers(), console.now()) {
        return next.run(request).await;
    }
    // A stream that is sent elsewhere would try for ever.
    if request.method() == Method::GET && request.uri().path().starts_with("/console/live/") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Redirect::to("/console/login").into_response()
}

/// The parts of a page, as they are now.
pub(super) async fn parts(console: &Console, page: Page) -> Result<Vec<Part>, StoreError> {
    match page {
        Page::Overview => overview::parts(console).await,
        Page::Providers => Ok(providers::parts(console)),
        Page::Privacy => Ok(privacy::parts(console)),
        Page::Subscriptions => subscriptions::parts(console).await,
        Page::Feedback => feedback::parts(console).await,
        Page::Configuration => Ok(Vec::new()),
    }
}

/// Where the store cannot be asked, the page says so.
async fn shown(console: &Console, page: Page, content: impl FnOnce(&[Part]) -> Markup) -> Response {
    match parts(console, page).await {
        Ok(parts) => framed(console, page, &content(&parts)),
        Err(error) => unavailable(console, page, &error),
    }
}

fn unavailable(console: &Console, page: Page, error: &StoreError) -> Response {
    tracing::error!(%error, "the console cannot ask the store");
    let content = maud::html! { p.bad role="alert" { "The store cannot be asked: /readyz and the log say more. Reload to try again." } };
    (StatusCode::SERVICE_UNAVAILABLE, framed(console, page, &content)).into_response()
}

async fn show_overview(State(console): State<Console>) -> Response {
    shown(&console, Page::Overview, overview::content).await
}

async fn show_providers(State(console): State<Console>) -> Response {
    shown(&console, Page::Providers, |parts| providers::content(&console, parts)).await
}

async fn show_privacy(State(console): State<Console>) -> Response {
    shown(&console, Page::Privacy, |parts| privacy::content(&console, parts)).await
}

async fn show_subscriptions(State(console): State<Console>) -> Response {
    shown(&console, Page::Subscriptions, |parts| subscriptions::content(parts, None)).await
}

async fn show_feedback(State(console): State<Console>) -> Response {
    shown(&console, Page::Feedback, |parts| feedback::content(&console, parts)).await
}

async fn show_configuration(State(console): State<Console>) -> Response {
    framed(&console, Page::Configuration, &configuration::content(&console))
}

/// A form's fields.
struct Form(Vec<(String, String)>);

impl FromRequest<Console> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        let parse =
            async |bytes: bytes::Bytes| Self(form_urlencoded::parse(&bytes).into_owned().collect());
        console.bodies.read(&head.headers, body, parse).await
    }
}

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

async fn log_in(State(console): State<Console>, form: Form) -> Response {
    match console.sessions.log_in(form.get("token").unwrap_or_default(), console.now()) {
        Ok(cookie) => {
            tracing::info!("an operator has logged in at the console");
            ([(header::SET_COOKIE, cookie)], Redirect::to("/console")).into_response()
        }
        Err(Refused::Unknown) => {
            tracing::warn!("a login at the console was refused");
            (StatusCode::FORBIDDEN, login(Some("That is no operator's token."))).into_response()
        }
        Err(Refused::TooOften) => {
            let complaint = "That was tried too often. Wait a minute.";
            (StatusCode::TOO_MANY_REQUESTS, login(Some(complaint))).into_response()
        }
    }
}

async fn log_out(State(console): State<Console>) -> Response {
    let cookie = console.sessions.log_out();
    ([(header::SET_COOKIE, cookie)], Redirect::to("/console/login")).into_response()
}

/// Pauses or resumes delivery at a provider.
async fn change_delivery(State(console): State<Console>, form: Form) -> Response {
    let provider = form.get("provider").and_then(Provider::parse);
    let change = match form.get("do") {
        Some("pause") => Some(Halt::Pause as fn(Providers) -> Halt),
        Some("resume") => Some(Halt::Resume as fn(Providers) -> Halt),
        _ => None,
    };
    let (Some(provider), Some(change)) = (provider, change) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match console.api.halting.change(change(std::iter::once(provider).collect())).await {
        Ok(_) => Redirect::to("/console/providers").into_response(),
        Err(error) => unavailable(&console, Page::Providers, &error),
    }
}

/// Releases or drops what is in quarantine.
async fn change_quarantine(State(console): State<Console>, form: Form) -> Response {
    let which = match form.get("set") {
        Some("") => Some(Which::All),
        Some(name) => CredentialSet::parse(name).ok().map(Which::Set),
        None => None,
    };
    let deed = match form.get("do") {
        Some("release") => Some(Deed::Release),
        Some("drop") => Some(Deed::Drop),
        _ => None,
    };
    let (Some(which), Some(deed)) = (which, deed) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match console.api.settle_quarantine(vec![which], deed).await {
        Ok(_) => Redirect::to("/console/feedback").into_response(),
        Err(error) => unavailable(&console, Page::Feedback, &error),
    }
}

/// Looks a user or a notification up.
async fn find(State(console): State<Console>, form: Form) -> Response {
    let found = match (form.get("user"), form.get("notification")) {
        (Some(user), _) => look_up::user(&console, user).await,
        (None, Some(id)) => look_up::notification(&console, id).await,
        (None, None) => return StatusCode::BAD_REQUEST.into_response(),
    };
    match found {
        Ok(found) => {
            let content = |parts: &[Part]| subscriptions::content(parts, Some(&found));
            shown(&console, Page::Subscriptions, content).await
        }
        Err(error) => unavailable(&console, Page::Subscriptions, &error),
    }
}
