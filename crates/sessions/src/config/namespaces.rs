//! What is set for keys that begin alike: `[sessions.namespaces.NAME]`, and for all others in `[sessions]`.

use std::num::NonZeroU32;

use reveille_model::limits::SESSION_TTL_S_MAX;
use reveille_model::{Namespace, Ttl};
use reveille_service::auth::Callers;
use reveille_service::config::Section;
use reveille_store::Quota;

/// Where entries are kept, as far as it matters to what may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// It counts, and alone has its entries.
    Sqlite,
    /// Nobody counts, and others may write too.
    Cassandra,
}

/// A namespace's settings.
#[derive(Debug, Clone)]
pub(crate) struct NamespaceConfig {
    pub(crate) name: Namespace,
    /// What its keys begin with.
    pub(crate) prefix: String,
    /// The longest time an entry lives.
    pub(crate) ttl: Ttl,
    pub(crate) quota: Quota,
    /// Who may use it.
    pub(crate) callers: Callers,
    pub(crate) requests_per_s_max: Option<NonZeroU32>,
    /// Whether writes may have conditions.
    pub(crate) conditional_writes: bool,
}

/// How long an entry lives unless it is told, in seconds: a day, as in the reference.
const TTL_S: u32 = 86_400;
/// Most namespaces.
const NAMESPACES_MAX: usize = 1_000;

impl NamespaceConfig {
    /// All of them, the default one last. Quotas are for an engine that counts.
    pub(super) fn read_all(section: &mut Section, engine: Engine) -> Vec<Self> {
        let default = Self {
            name: Namespace::default_one(),
            prefix: String::new(),
            ttl: Ttl::from_s(TTL_S),
            quota: Quota::default(),
            callers: Callers::anyone(),
            requests_per_s_max: None,
            conditional_writes: engine == Engine::Sqlite,
        };
        let default = default.read(section, "default_ttl_s", engine);
        let mut all: Vec<Self> = Vec::new();
        for (name, mut inner) in section.section("namespaces").sections() {
            let Ok(name) = Namespace::parse(&name).map_err(|_| ()) else {
                inner.problem(
                    "prefix",
                    "a namespace's name is 1 to 64 letters, digits, `_`, `.` and `-`",
                );
                continue;
            };
            let prefix = inner.required_string("prefix", "enwiki:echo:").unwrap_or_default();
            if name == default.name {
                inner.problem("prefix", "the default namespace is set in [sessions] itself");
            } else if all.iter().any(|other| other.prefix == prefix) || prefix.is_empty() {
                inner.problem(
                    "prefix",
                    "each namespace has a prefix of its own, of at least one character",
                );
            }
            let quota = Quota::default();
            let fresh = Self { name, prefix, quota, requests_per_s_max: None, ..default.clone() };
            all.push(fresh.read(&mut inner, "ttl_s", engine));
            inner.finish();
        }
        if all.len() > NAMESPACES_MAX {
            section.problem("namespaces", format!("there may be up to {NAMESPACES_MAX}"));
        }
        all.push(default);
        all
    }

    /// With what a section says otherwise.
    fn read(self, section: &mut Section, ttl: &str, engine: Engine) -> Self {
        let quota = Quota {
            entries_max: section.count("entries_max"),
            bytes_max: section.count("bytes_max"),
        };
        if engine == Engine::Cassandra && quota != Quota::default() {
            section.problem(
                "entries_max",
                "entries_max and bytes_max need store = \"sqlite:…\": on Cassandra nobody counts",
            );
        }
        let callers = section.path("tokens_file").map(|path| {
            Callers::from_file(&path).unwrap_or_else(|error| {
                section.problem("tokens_file", format!("{}: {error}", path.display()));
                Callers::anyone()
            })
        });
        let rate = section.number("requests_per_s_max", 1..=10_000_000);
        Self {
            ttl: section.number(ttl, 0..=SESSION_TTL_S_MAX).map_or(self.ttl, Ttl::from_s),
            quota,
            callers: callers.unwrap_or(self.callers),
            requests_per_s_max: rate.and_then(NonZeroU32::new),
            conditional_writes: section
                .boolean("conditional_writes")
                .unwrap_or(self.conditional_writes),
            ..self
        }
    }
}
