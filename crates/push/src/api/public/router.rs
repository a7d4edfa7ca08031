//! Every route of the public API, on one screen.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderValue, Method, header};
use reveille_model::Duration;
use reveille_service::problem::{method_not_allowed, not_found};
use reveille_service::{http_metrics, request_id};
use tower_http::cors::CorsLayer;
use tower_http::csrf::{CsrfLayer, ProtectionError};

use super::super::devices::Devices;
use super::super::error::ApiError;
use super::super::headers;
use super::super::mediawiki::{self, ActionApi};
use super::{CallerError, RateLimits, caller, docs, inbox, logged_out, preferences, subscriptions};
use crate::identity::Identity;

/// How long a browser may remember what pages of other sites may do.
const CORS_AGE: Duration = Duration::from_s(3_600);

/// What handlers share.
#[derive(Clone)]
pub(crate) struct PublicState {
    pub(crate) devices: Devices,
    pub(crate) identity: Arc<Identity>,
    pub(crate) rates: Arc<RateLimits>,
    pub(crate) action: ActionApi,
}

/// `origins` are the sites whose pages may call. Those of others reach nothing: a request that changes something is refused
/// even if its answer would not be shown to them, since it may carry a cookie.
pub(crate) fn router(state: PublicState, origins: &[HeaderValue]) -> Result<Router, String> {
    let mine = Router::new()
        .route(
            "/v1/subscriptions",
            post(subscriptions::post_subscription)
                .get(subscriptions::list_subscriptions)
                .delete(subscriptions::delete_subscriptions),
        )
        .route(
            "/v1/subscriptions/{id}",
            get(subscriptions::get_subscription)
                .patch(subscriptions::patch_subscription)
                .delete(subscriptions::delete_subscription),
        )
        .route("/v1/subscriptions/{id}/verify", post(subscriptions::verify_subscription))
        .route(
            "/v1/preferences",
            get(preferences::get_preferences).put(preferences::put_preferences),
        )
        .route("/v1/inbox", get(inbox::get_inbox))
        .route("/v1/inbox/read", post(inbox::post_read))
        .route_layer(from_fn_with_state(state.clone(), caller::of_user));
    let anyones = Router::new()
        .route("/v1/webpush/key", get(logged_out::webpush_key))
        .route("/v1/anonymous", post(logged_out::post_anonymous))
        .route("/openapi.json", get(docs::spec))
        .route("/docs", get(docs::page));
    // It speaks of everything, addresses that call too often too, in its own words.
    let facade = Router::new()
        .route("/w/api.php", get(mediawiki::handle).post(mediawiki::handle))
        .method_not_allowed_fallback(async || method_not_allowed());
    Ok(mine
        .merge(anyones)
        .fallback(async || not_found())
        .method_not_allowed_fallback(async || method_not_allowed())
        .layer(from_fn_with_state(state.clone(), caller::of_address))
        .merge(facade)
        .layer(csrf(origins)?)
        .layer(cors(origins))
        .layer(from_fn(http_metrics::measure))
        .layer(from_fn(request_id::echo))
        .layer(from_fn(headers::secure))
        .with_state(state))
}

/// What answers a page of another site.
type Refuse = fn(ProtectionError) -> Response;

fn csrf(origins: &[HeaderValue]) -> Result<CsrfLayer<Refuse>, String> {
    let mut layer = CsrfLayer::new();
    for origin in origins.iter().filter_map(|origin| origin.to_str().ok()) {
        layer = layer
            .add_trusted_origin(origin)
            .map_err(|error| format!("push.public.origins: {error}"))?;
    }
    Ok(layer.with_rejection_response(|_| ApiError::from(CallerError::CrossSite).into_response()))
}

fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH])
        .expose_headers([header::ETAG, header::RETRY_AFTER, mediawiki::CODE_HEADER])
        .max_age(CORS_AGE.to_std())
}
