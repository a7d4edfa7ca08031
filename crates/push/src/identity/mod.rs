//! Who is calling at the public listener.

mod anonymous;
mod credentials;
mod header;
mod jwt;
mod keyset;
mod mediawiki;
mod modes;
mod sessions;
mod stored_session;

pub(crate) use anonymous::Anonymous;
pub(crate) use header::HeaderConfig;
pub(crate) use jwt::JwtConfig;
pub(crate) use keyset::KeySource;
pub(crate) use mediawiki::{MediaWikiAuthConfig, wiki_of};
pub(crate) use modes::{Account, AuthMode, Caller, Denied, Identity};
pub(crate) use sessions::{SessionFormat, SessionSecrets, SessionsConfig};
