//! `store = "cassandra://…"` and `[sessions.cassandra]`.

use std::path::PathBuf;

use reveille_model::Duration;
use reveille_service::config::Section;

/// What is answered to a DELETE, and when. Whatever it is, what is missing elsewhere is done later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteConsistency {
    /// 204 once a quorum in every data centre has it, else an error, as the reference has it.
    EachQuorum,
    /// 204 once a quorum in this data centre has it, and it is written down that others have to follow.
    LocalQuorum,
}

/// Who we are at Cassandra.
#[derive(Clone)]
pub struct Login {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// How Cassandra's nodes are known, and how they know us. Files of PEM.
#[derive(Debug, Clone)]
pub struct CassandraTls {
    /// The authority that has signed the nodes' certificates.
    pub ca_file: PathBuf,
    /// Our certificate and its key, where they ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Which Cassandra, and how it is asked.
#[derive(Debug, Clone)]
pub struct CassandraConfig {
    /// Nodes to begin with: `host:port`.
    pub hosts: Vec<String>,
    /// The keyspace.
    pub keyspace: String,
    /// The table: a text key and a blob.
    pub table: String,
    /// The data centre we are in. Without one any node will do, which is for clusters of one.
    pub dc: Option<String>,
    /// Who we are.
    pub login: Option<Login>,
    /// Whether and how we speak TLS.
    pub tls: Option<CassandraTls>,
    /// What is answered to a DELETE, and when.
    pub delete_consistency: DeleteConsistency,
    /// Longest time one query may take, tries on other nodes among it.
    pub query_timeout: Duration,
    /// Longest time a connection may take.
    pub connect_timeout: Duration,
    /// After this long another node is asked too. Only where asking twice is no matter.
    pub speculative_after: Option<Duration>,
    /// How many copies each data centre is to have, for `reveille migrate`.
    pub replication: Vec<(String, u32)>,
}

/// Cassandra's port.
const PORT: u16 = 9042;
/// Longest time a connection may take unless it is told, in milliseconds.
const CONNECT_MS: u32 = 5_000;
/// After how long another node is asked too unless it is told, in milliseconds: a node that hangs says nothing, and nothing else would help.
const SPECULATIVE_MS: u32 = 500;
/// How much longer than its longest query a request may take at least, in milliseconds.
const ANSWER_MS: u32 = 100;
/// How much sooner than the request a query ends unless it is told, in milliseconds.
const EARLIER_MS: u32 = 500;

impl CassandraConfig {
    /// From what comes after `cassandra:`, and the section.
    pub(super) fn read(
        sessions: &Section,
        url: &str,
        mut section: Section,
        deadline: Duration,
    ) -> Option<Self> {
        let parsed = parse(url);
        if let Err(what) = &parsed {
            sessions.problem("store", *what);
        }
        let login = match (section.string("username"), section.secret("password_file")) {
            (Some(username), Some(password)) => Some(Login { username, password }),
            (None, None) => None,
            _ => {
                section.problem(
                    "username",
                    "username and password_file are set together or not at all",
                );
                None
            }
        };
        let (ca, cert, key) = (
            section.path("ca_file"),
            section.path("certificate_file"),
            section.path("private_key_file"),
        );
        let tls = match (ca, cert, key) {
            (None, None, None) => None,
            (Some(ca_file), None, None) => Some(CassandraTls { ca_file, identity: None }),
            (Some(ca_file), Some(cert), Some(key)) => {
                Some(CassandraTls { ca_file, identity: Some((cert, key)) })
            }
            _ => {
                section.problem(
                    "ca_file",
                    "certificate_file and private_key_file are set together, and need ca_file",
                );
                None
            }
        };
        let deletes = [
            ("each_quorum", DeleteConsistency::EachQuorum),
            ("local_quorum", DeleteConsistency::LocalQuorum),
        ];
        let delete_consistency =
            section.choice("delete_consistency", &deletes).unwrap_or(DeleteConsistency::EachQuorum);
        let ms = |number: Option<u32>| number.map(|ms| Duration::from_ms(ms.into()));
        let earlier = deadline.as_ms().saturating_sub(EARLIER_MS.into()).max(deadline.as_ms() / 2);
        // What is left is for saying how it went.
        let longest = deadline.as_ms().saturating_sub(ANSWER_MS.into()).max(50);
        let longest = u32::try_from(longest).unwrap_or(u32::MAX);
        let query_timeout = ms(section.number("query_timeout_ms", 50..=longest));
        let connect_timeout = ms(section.number("connect_timeout_ms", 50..=60_000));
        let speculative_ms = section.number("speculative_after_ms", 0..=10_000);
        let speculative_after =
            ms(Some(speculative_ms.unwrap_or(SPECULATIVE_MS)).filter(|ms| *ms > 0));
        let mut copies = section.section("replication");
        let replication = copies.keys().into_iter();
        let replication =
            replication.filter_map(|dc| Some((dc.clone(), copies.number(&dc, 1..=100)?)));
        let replication: Vec<(String, u32)> = replication.collect();
        copies.finish();
        section.finish();
        let (hosts, keyspace, table, dc) = parsed.ok()?;
        Some(Self {
            hosts,
            keyspace,
            table,
            dc,
            login,
            tls,
            delete_consistency,
            query_timeout: query_timeout.unwrap_or(Duration::from_ms(earlier)),
            connect_timeout: connect_timeout.unwrap_or(Duration::from_ms(CONNECT_MS.into())),
            speculative_after,
            replication,
        })
    }
}

type Parsed = (Vec<String>, String, String, Option<String>);

fn parse(url: &str) -> Result<Parsed, &'static str> {
    const FORM: &str = "this must be \"cassandra://HOST,HOST/KEYSPACE?table=TABLE&dc=DATACENTRE\"; a port is written HOST:PORT";
    let rest = url.strip_prefix("//").ok_or(FORM)?;
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, keyspace) = address.split_once('/').ok_or(FORM)?;
    if hosts.contains('@') {
        return Err(
            "name and password are set as username and password_file under [sessions.cassandra]",
        );
    }
    let hosts: Option<Vec<String>> = hosts.split(',').map(host).collect();
    let (mut table, mut dc) = ("values".to_owned(), None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("table", name)) => name.clone_into(&mut table),
            Some(("dc", name)) if !name.is_empty() => dc = Some(name.to_owned()),
            _ => return Err(FORM),
        }
    }
    if !is_name(keyspace) || !is_name(&table) {
        return Err("keyspace and table are 1 to 48 letters, digits and `_`");
    }
    Ok((hosts.ok_or(FORM)?, keyspace.to_owned(), table, dc))
}

/// With its port.
fn host(text: &str) -> Option<String> {
    let has_port = match text.strip_prefix('[') {
        Some(rest) => !rest.ends_with(']'),
        None => text.contains(':'),
    };
    let port = text.rsplit_once(':').map_or("", |(_, port)| port);
    match (text, has_port) {
        ("", _) => None,
        (_, true) => port.parse::<u16>().ok().map(|_| text.to_owned()),
        (_, false) => Some(format!("{text}:{PORT}")),
    }
}

/// What Cassandra takes for a name.
fn is_name(text: &str) -> bool {
    (1..=48).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_address_names_hosts_keyspace_table_and_data_centre() {
        let (hosts, keyspace, table, dc) =
            parse("//h1,10.0.0.2:9999,[::1],[::2]:1/kask?table=Values&dc=eqiad").unwrap();
        assert_eq!(hosts, ["h1:9042", "10.0.0.2:9999", "[::1]:9042", "[::2]:1"]);
        assert_eq!(
            (keyspace.as_str(), table.as_str(), dc.as_deref()),
            ("kask", "Values", Some("eqiad"))
        );
        assert_eq!(parse("//h/k").unwrap().2, "values");
        for bad in
            ["h/k", "//h", "///k", "//h:x/k", "//h/k?x=1", "//h/k?table=a\"b", "//u:p@h/k", "//h/"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
