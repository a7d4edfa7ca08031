//! `[push.public.auth]`: who is calling at the public listener.

use std::sync::Arc;

use aws_lc_rs::hmac;
use http::HeaderName;
use reveille_model::{Duration, Realm};
use reveille_providers::{Current, client_tls};
use reveille_service::config::Section;

use super::public::read_ranges;
use super::wiki::read_proxied;
use crate::client::ClientSettings;
use crate::identity::{
    AuthMode, HeaderConfig, JwtConfig, KeySource, MediaWikiAuthConfig, SessionFormat,
    SessionSecrets, SessionsConfig,
};
use crate::wiki::WikiConfig;

pub(super) fn read_auth(mut auth: Section) -> Option<(AuthMode, bool)> {
    let anonymous = auth.boolean("anonymous").unwrap_or(false);
    let mode = match auth.string("mode").as_deref() {
        Some("sessions") => read_sessions(&mut auth).map(AuthMode::Sessions),
        Some("jwt") => read_jwt(&mut auth).map(AuthMode::Jwt),
        Some("header") => read_header(&mut auth).map(AuthMode::Header),
        Some("mediawiki") => read_mediawiki(&mut auth).map(AuthMode::MediaWiki),
        Some(_) => {
            auth.problem("mode", "this must be \"sessions\", \"jwt\", \"header\" or \"mediawiki\"");
            None
        }
        None if anonymous => Some(AuthMode::Nobody),
        None => {
            auth.problem(
                "mode",
                "this is missing; write \"sessions\", \"jwt\", \"header\" or \"mediawiki\" (or anonymous = true for devices without accounts)",
            );
            None
        }
    };
    auth.finish();
    Some((mode?, anonymous))
}

fn read_url(section: &mut Section, key: &str, example: &str) -> Option<reqwest::Url> {
    let text = section.required_string(key, example)?;
    let url = reqwest::Url::parse(&text).ok();
    let url = url.filter(|url| {
        ["http", "https"].contains(&url.scheme()) && url.has_host() && url.query().is_none()
    });
    if url.is_none() {
        section.problem(key, "this must be an http: or https: address");
    }
    url
}

/// How whoever knows people is reached.
fn read_client(auth: &mut Section) -> Option<ClientSettings> {
    let time_max_ms = auth.number("timeout_ms", 10..=60_000).unwrap_or(2_000);
    let ca_file = auth.path("ca_file");
    let tls = client_tls(ca_file.as_deref());
    let tls = tls.map_err(|error| auth.problem("ca_file", error.to_string())).ok()?;
    Some(ClientSettings { tls, time_max: Duration::from_ms(time_max_ms.into()) })
}

fn read_sessions(auth: &mut Section) -> Option<SessionsConfig> {
    let url = read_url(auth, "url", "http://127.0.0.1:8081/sessions/v1/");
    let wiki = auth.string("wiki");
    if let Some(wiki) = &wiki {
        read_realm(auth, wiki);
    }
    if wiki.is_none() && auth.has("hmac_key_file") {
        auth.problem("hmac_key_file", "this is MediaWiki's; set wiki = \"…\" too");
    }
    let secrets = read_session_secrets(auth);
    let cookie = auth.string("cookie").unwrap_or_else(|| {
        wiki.as_ref().map_or("session".to_owned(), |wiki| format!("{wiki}_session"))
    });
    let is_cookie = !cookie.is_empty()
        && cookie
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte));
    if !is_cookie {
        auth.problem("cookie", "this must be the name of a cookie");
    }
    let key_prefix = auth.string("key_prefix").unwrap_or_else(|| {
        wiki.as_ref().map_or(String::new(), |wiki| format!("{wiki}:MWSession:"))
    });
    let default_path = if wiki.is_some() { "metadata.userId" } else { "user" };
    let user_path = auth.string("user_path").unwrap_or_else(|| default_path.to_owned());
    let user_path: Vec<String> = user_path.split('.').map(str::to_owned).collect();
    if user_path.iter().any(String::is_empty) || user_path.len() > 16 {
        auth.problem("user_path", "this must be names with dots between, \"metadata.userId\"");
    }
    let client = read_client(auth);
    let format = if wiki.is_some() { SessionFormat::MediaWiki } else { SessionFormat::Json };
    Some(SessionsConfig {
        url: url?,
        cookie,
        key_prefix,
        format,
        secrets: Arc::new(Current::new(secrets)),
        user_path,
        user_prefix: wiki.map_or(String::new(), |wiki| format!("{wiki}:")),
        client: client?,
    })
}

/// What of it stands in files of its own.
pub(super) fn read_session_secrets(auth: &mut Section) -> SessionSecrets {
    let hmac_key = auth.secret("hmac_key_file");
    SessionSecrets {
        store_token: auth.secret("store_token_file"),
        hmac_key: hmac_key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())),
    }
}

fn read_jwt(auth: &mut Section) -> Option<JwtConfig> {
    let keys = match (auth.path("jwks_file"), auth.has("jwks_url")) {
        (Some(path), false) => Some(KeySource::File(path)),
        (None, true) => read_url(auth, "jwks_url", "").map(KeySource::Url),
        _ => {
            auth.problem("jwks_file", "set jwks_file or jwks_url: a JSON Web Key Set (RFC 7517)");
            None
        }
    };
    let issuer = auth.required_string("issuer", "https://login.example.org");
    let audience = auth.required_string("audience", "reveille");
    let user_claim = auth.string("user_claim").unwrap_or_else(|| "sub".to_owned());
    let cookie = auth.string("cookie");
    let client = read_client(auth);
    let config = JwtConfig {
        keys: keys?,
        issuer: issuer?,
        audience: audience?,
        user_claim,
        client: client?,
        cookie,
    };
    config.check().map_err(|what| auth.problem("jwks_file", what)).ok()?;
    Some(config)
}

fn read_header(auth: &mut Section) -> Option<HeaderConfig> {
    let header = auth.required_string("header", "X-Remote-User").and_then(|text| {
        let name = HeaderName::try_from(text).ok();
        if name.is_none() {
            auth.problem("header", "this must be the name of a header");
        }
        name
    });
    if !auth.has("peers") {
        auth.problem(
            "peers",
            "this is missing; write the proxy's address, peers = [\"127.0.0.1\"]",
        );
    }
    let peers = read_ranges(auth, "peers");
    Some(HeaderConfig { header: header?, peers: peers? })
}

fn read_mediawiki(auth: &mut Section) -> Option<MediaWikiAuthConfig> {
    let api = read_url(auth, "api", "https://en.example.org/w/api.php");
    let realm = auth.required_string("wiki", "enwiki").and_then(|id| read_realm(auth, &id));
    let central = auth.string("central_ids").unwrap_or_else(|| "CentralAuth".to_owned());
    let cache_s = auth.number("cache_s", 0..=600).unwrap_or(60);
    let (host_header, forwarded_proto) = read_proxied(auth);
    let client = read_client(auth);
    Some(MediaWikiAuthConfig {
        realm: realm?,
        central,
        kept_for: Duration::from_s(cache_s),
        wiki: WikiConfig { api: api?, host_header, forwarded_proto, client: client? },
    })
}

/// A wiki's id stands before its users' numbers: those of two wikis, and of people without one, are never one user.
fn read_realm(auth: &mut Section, id: &str) -> Option<Realm> {
    let what = "this must be the wiki's id, \"enwiki\": letters, digits, _ . or -, and neither \"central\" nor \"anonymous\"";
    Realm::of_wiki(id).map_err(|_| auth.problem("wiki", what)).ok()
}
