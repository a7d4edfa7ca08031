//! Who is calling at the public listener.

mod anonymous;
mod credentials;
mod header;
mod jwt;
mod keyset;
mod modes;
mod sessions;
mod stored_session;

pub(crate) use anonymous::Anonymous;
pub(crate) use header::HeaderConfig;
pub(crate) use jwt::JwtConfig;
pub(crate) use keyset::KeySource;
pub(crate) use modes::{AuthMode, Denied, Identity};
pub(crate) use sessions::{SessionFormat, SessionsConfig};
