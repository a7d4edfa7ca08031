//! Paths and queries, read so that what does not fit is a problem like any other.

use axum::extract::{FromRequestParts, Path as AnyPath, Query as AnyQuery};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// What stands in a path.
pub(in crate::api) struct Path<T>(pub(in crate::api) T);

/// What is asked in a query.
pub(in crate::api) struct Query<T>(pub(in crate::api) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = AnyPath::from_request_parts(parts, state).await;
        path.map(|AnyPath(path)| Self(path)).map_err(|_| ApiError::InvalidPath)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = AnyQuery::from_request_parts(parts, state).await;
        query.map(|AnyQuery(query)| Self(query)).map_err(|_| ApiError::InvalidQuery)
    }
}
