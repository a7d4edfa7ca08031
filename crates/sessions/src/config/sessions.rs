//! `[sessions]` itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use reveille_model::Duration;
use reveille_model::limits::{SESSION_KEY_BYTES_MAX, SESSION_VALUE_BYTES_MAX};
use reveille_service::config::{Document, Section, ServerTls, TracingConfig};
use reveille_service::reload::Reloadable;

use super::cassandra::CassandraConfig;
use super::{Engine, NamespaceConfig};

/// Where entries are kept.
#[derive(Debug, Clone)]
pub enum SessionsStoreUrl {
    /// `sqlite:FILE`.
    Sqlite(PathBuf),
    /// `cassandra://HOST,HOST/KEYSPACE?table=TABLE&dc=DATACENTRE`.
    Cassandra(Box<CassandraConfig>),
}

/// What PUT means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// Set where there is nothing, which is what the RFC reserves it for.
    IfAbsent,
    /// The same as POST.
    Upsert,
}

/// The session store's settings.
#[derive(Debug)]
pub struct SessionsConfig {
    /// Where entries are kept.
    pub store: SessionsStoreUrl,
    /// The address.
    pub listen: SocketAddr,
    pub(crate) tls: Option<ServerTls>,
    /// Begins and ends with a slash.
    pub(crate) base_uri: String,
    pub(crate) put: Put,
    pub(crate) key_bytes_max: usize,
    pub(crate) value_bytes_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) deadline: Duration,
    /// Where traces go, if anywhere.
    pub tracing: Option<TracingConfig>,
    /// All of them, the default one last.
    pub(crate) namespaces: Vec<NamespaceConfig>,
    /// What it was read from, to read files again that it names.
    document: Document,
}

/// Where it listens unless it is told, as in the documentation.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);
const BASE_URI: &str = "/sessions/v1/";
/// Longest key unless it is told, in bytes. MediaWiki's have about 60.
const KEY_BYTES: u32 = 1_024;
/// Largest value unless it is told, in bytes. MediaWiki's sessions have a few thousand.
const VALUE_BYTES: u32 = 4 * 1024 * 1024;
const CONNECTIONS: u32 = 16_384;
/// Longest time a request may wait for the store unless it is told, in milliseconds. MediaWiki gives up after 3 s.
const DEADLINE_MS: u32 = 2_500;

impl SessionsConfig {
    /// Reads everything the session store uses. Problems go to the document's list; with any, there is no configuration.
    pub fn read(document: &Document) -> Option<Self> {
        let mut section = document.section("sessions");
        if !document.has("sessions") {
            document.problems().add(
                "sessions",
                "this section is missing; write for example store = \"sqlite:sessions.db\" under [sessions]",
            );
        }
        let listen = if section.has("listen") { section.address("listen") } else { Some(LISTEN) };
        let tls = ServerTls::read(&mut section);
        let base_uri =
            section.string("base_uri").map_or_else(|| BASE_URI.to_owned(), |uri| base(&uri));
        check_base(&section, &base_uri);
        let puts = [("if-absent", Put::IfAbsent), ("upsert", Put::Upsert)];
        let put = section.choice("put", &puts).unwrap_or(Put::IfAbsent);
        let number = |section: &mut Section, key, low: u32, high: u32, default: u32| {
            section.number(key, low..=high).unwrap_or(default)
        };
        let key_max = u32::try_from(SESSION_KEY_BYTES_MAX).unwrap_or(u32::MAX);
        let value_max = u32::try_from(SESSION_VALUE_BYTES_MAX).unwrap_or(u32::MAX);
        let key_bytes_max = number(&mut section, "key_bytes_max", 1, key_max, KEY_BYTES);
        let value_bytes_max = number(&mut section, "value_bytes_max", 1, value_max, VALUE_BYTES);
        let connections_max = number(&mut section, "connections_max", 1, 1_000_000, CONNECTIONS);
        let deadline = number(&mut section, "request_deadline_ms", 100, 60_000, DEADLINE_MS);
        let deadline = Duration::from_ms(deadline.into());
        let store = read_store(&mut section, deadline);
        let engine = match store {
            None | Some(SessionsStoreUrl::Sqlite(_)) => Engine::Sqlite,
            Some(SessionsStoreUrl::Cassandra(_)) => Engine::Cassandra,
        };
        let namespaces = NamespaceConfig::read_all(&mut section, engine);
        section.finish();
        let tracing = TracingConfig::read(document);
        if document.problems().is_empty() {
            Some(Self {
                store: store?,
                listen: listen?,
                tls,
                base_uri,
                put,
                key_bytes_max: key_bytes_max as usize,
                value_bytes_max: value_bytes_max as usize,
                connections_max: connections_max as usize,
                deadline,
                tracing,
                namespaces,
                document: document.clone(),
            })
        } else {
            None
        }
    }

    /// Its certificate and the bearer tokens of callers, to be read again when they change.
    pub(crate) fn reload(&self) -> Reloadable {
        let (tls, namespaces) = (self.tls.clone(), self.namespaces.clone());
        let read = |document: &Document| {
            let mut section = document.section("sessions");
            let tls = ServerTls::read(&mut section);
            // Which engine it is has a say about other settings only.
            Some((tls, NamespaceConfig::read_all(&mut section, Engine::Sqlite)))
        };
        let take = move |(read, again): (Option<ServerTls>, Vec<NamespaceConfig>)| {
            if let (Some(tls), Some(read)) = (&tls, &read) {
                tls.take(read);
            }
            for (namespace, read) in namespaces.iter().zip(&again) {
                namespace.callers.take(&read.callers);
            }
            Ok(())
        };
        Reloadable::new("sessions", &self.document, read, take)
    }

    /// The address of a key's beginning, to be shown.
    pub fn url(&self, address: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}{}", self.base_uri)
    }
}

/// With a slash at both ends.
fn base(uri: &str) -> String {
    match uri.trim_matches('/') {
        "" => "/".to_owned(),
        inner => format!("/{inner}/"),
    }
}

fn check_base(section: &Section, base: &str) {
    let is_plain =
        base.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte));
    let segments = base.trim_matches('/').split('/');
    let is_straight =
        base == "/" || segments.into_iter().all(|part| !["", ".", ".."].contains(&part));
    if !is_plain || !is_straight {
        section.problem(
            "base_uri",
            "this must be a path of letters, digits, `-`, `.`, `_` and `~`, as in \"/sessions/v1/\"",
        );
    }
}

fn read_store(section: &mut Section, deadline: Duration) -> Option<SessionsStoreUrl> {
    let text = section.required_string("store", "sqlite:sessions.db");
    let cassandra = section.section("cassandra");
    let text = text?;
    match (text.split_once(':'), cassandra.is_empty()) {
        (Some(("sqlite", file)), true) if !file.is_empty() => {
            cassandra.finish();
            Some(SessionsStoreUrl::Sqlite(section.resolve(file)))
        }
        (Some(("sqlite", _)), false) => {
            section.problem("cassandra", "this section is for store = \"cassandra://…\" only");
            None
        }
        (Some(("cassandra", rest)), _) => {
            let read = CassandraConfig::read(section, rest, cassandra, deadline);
            read.map(|config| SessionsStoreUrl::Cassandra(Box::new(config)))
        }
        _ => {
            section.problem(
                "store",
                "this must be \"sqlite:FILE\" or \"cassandra://HOST,HOST/KEYSPACE?table=TABLE&dc=DATACENTRE\"",
            );
            None
        }
    }
}
