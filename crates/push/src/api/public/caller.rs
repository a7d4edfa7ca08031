//! Lets requests in: first by their address, then by their user.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use reveille_model::User;
use reveille_service::listen::Peer;

use super::super::error::ApiError;
use super::CallerError;
use super::router::PublicState;

/// Counts the address. Before anything is looked up.
pub(super) async fn of_address(
    State(state): State<PublicState>,
    request: Request,
    next: Next,
) -> Response {
    let counted = peer(&request).and_then(|peer| state.rates.address(request.headers(), peer.0));
    match counted {
        Ok(()) => next.run(request).await,
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// Finds out who is calling and tells the handler.
pub(super) async fn of_user(
    State(state): State<PublicState>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = peer(&request);
    match identify(&state, request.headers(), peer).await {
        Ok(user) => {
            request.extensions_mut().insert(user);
            next.run(request).await
        }
        Err(error) => ApiError::from(error).into_response(),
    }
}

async fn identify(
    state: &PublicState,
    headers: &HeaderMap,
    peer: Result<Peer, CallerError>,
) -> Result<User, CallerError> {
    let now = state.devices.intake.clock.now();
    let caller = state.identity.caller(headers, peer?.0, now).await;
    let user = caller.map_err(CallerError::from)?.user;
    state.rates.user(&user)?;
    Ok(user)
}

/// Every request of our listeners has it.
fn peer(request: &Request) -> Result<Peer, CallerError> {
    request.extensions().get().copied().ok_or(CallerError::Unknown)
}
