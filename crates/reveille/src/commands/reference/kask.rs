//! The configuration of Kask (contract: session-store.md §4), as ours.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context as _;
use reveille_service::config::Document;
use reveille_sessions::SessionsConfig;
use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;

use super::secrets::Secrets;
use super::yaml::{Section, quoted, read, wrong};
use crate::commands::load::whole;
use crate::failure::Failure;

const OPTION: &str = "--kask-config";
/// What the reference does where nothing is said.
const PORT: u64 = 8080;
const TTL_S: u64 = 86_400;
const CASSANDRA_PORT: u64 = 9042;
const QUERY_MS: u64 = 12_000;
const CONNECT_MS: u64 = 5_000;
/// Longest time to live there can be, in seconds.
const TTL_S_MAX: u64 = 630_720_000;
/// Longest time a query may take, in milliseconds: MediaWiki gives up after 3 s.
const QUERY_MS_MAX: u64 = 2_000;

/// What a file says, as a configuration of ours.
#[derive(Debug)]
struct Converted {
    /// TOML.
    text: String,
    level: LevelFilter,
    /// What was passed over, and why.
    ignored: Vec<String>,
    /// The password that stands in the file itself.
    secrets: Vec<(&'static str, String)>,
}

/// A configuration, from which level on is logged, and what was passed over.
pub(crate) struct Kask {
    pub(crate) config: SessionsConfig,
    pub(crate) level: LevelFilter,
    pub(crate) ignored: Vec<String>,
}

/// Reads such a file. Paths in it count from where we were started, as Kask's do.
pub(crate) fn config(path: &Path) -> Result<Kask, Failure> {
    let wrong = |what: String| wrong(path, what);
    let secrets = Secrets::new();
    let converted = convert(read(path, OPTION)?, secrets.folder()).map_err(wrong)?;
    secrets
        .write(&converted.secrets)
        .context("the password cannot be put into a file of its own")?;
    let folder = std::env::current_dir().context("where are we")?;
    let document = Document::from_text(&converted.text, folder).map_err(wrong)?;
    let config = whole(SessionsConfig::read(&document), &document)?;
    Ok(Kask { config, level: converted.level, ignored: converted.ignored })
}

fn convert(value: Value, secrets: &Path) -> Result<Converted, String> {
    let mut file = Section::of_file(value)?;
    let mut ignored = Vec::new();
    let mut text = vec!["[sessions]".to_owned()];
    text.push(format!("listen = {}", listen(&mut file)?));
    let base = file.text("base_uri")?.unwrap_or_else(|| "/v1/".to_owned());
    text.push(format!("base_uri = {}", quoted(&base)));
    text.push(format!("default_ttl_s = {}", ttl(&mut file, &mut ignored)?));
    let level = level(file.text("log_level")?.as_deref())?;
    let mut tls = file.section("tls", "tls")?;
    let is_set = |text: &String| !text.is_empty();
    match (tls.text("cert")?.filter(is_set), tls.text("key")?.filter(is_set)) {
        (None, None) => {}
        (Some(cert), Some(key)) => {
            text.push(format!(
                "tls_cert_file = {}\ntls_key_file = {}",
                quoted(&cert),
                quoted(&key)
            ));
        }
        _ => return Err("tls.cert and tls.key are set together or not at all".to_owned()),
    }
    tls.finish(&[], &mut ignored);
    let mut password = Vec::new();
    cassandra(
        file.section("cassandra", "cassandra")?,
        (&mut text, &mut ignored),
        (secrets, &mut password),
    )?;
    let known = [
        ("service_name", "logs say reveille"),
        ("openapi_spec", "the description of the API is generated, see /openapi"),
    ];
    file.finish(&known, &mut ignored);
    Ok(Converted { text: text.join("\n"), level, ignored, secrets: password })
}

fn listen(file: &mut Section) -> Result<String, String> {
    let port = file.number("listen_port")?.unwrap_or(PORT);
    let address = file.text("listen_address")?.unwrap_or_else(|| "localhost".to_owned());
    let address = match address.as_str() {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        "" => Ok(IpAddr::from([0, 0, 0, 0])),
        text => text.trim_matches(['[', ']']).parse(),
    };
    let address: IpAddr =
        address.map_err(|_| "listen_address must be an address or localhost".to_owned())?;
    let port = u16::try_from(port).map_err(|_| "listen_port must be up to 65535".to_owned())?;
    Ok(quoted(&std::net::SocketAddr::new(address, port).to_string()))
}

fn ttl(file: &mut Section, ignored: &mut Vec<String>) -> Result<u64, String> {
    let positive = |_| "default_ttl: TTL must be a positive integer".to_owned();
    let ttl = file.number("default_ttl").map_err(positive)?.unwrap_or(TTL_S);
    if ttl > TTL_S_MAX {
        ignored.push(format!("default_ttl: it is {TTL_S_MAX} now, the longest Cassandra takes"));
    }
    Ok(ttl.min(TTL_S_MAX))
}

fn level(text: Option<&str>) -> Result<LevelFilter, String> {
    match text.unwrap_or("info").to_ascii_lowercase().as_str() {
        "debug" => Ok(LevelFilter::DEBUG),
        "info" => Ok(LevelFilter::INFO),
        "warning" => Ok(LevelFilter::WARN),
        "error" | "fatal" => Ok(LevelFilter::ERROR),
        _ => Err("log_level must be debug, info, warning, error or fatal".to_owned()),
    }
}

/// Which nodes, keyspace, table and data centre.
fn address(cassandra: &mut Section) -> Result<String, String> {
    let port = cassandra.number("port")?.unwrap_or(CASSANDRA_PORT);
    let hosts = match cassandra.members.remove("hosts") {
        None | Some(Value::Null) => vec!["localhost".to_owned()],
        Some(Value::Array(hosts)) => {
            let hosts = hosts.iter().map(|host| host.as_str().map(str::to_owned));
            let hosts: Option<Vec<String>> = hosts.collect();
            hosts
                .filter(|hosts| !hosts.is_empty())
                .ok_or("cassandra.hosts must be a list of texts")?
        }
        Some(_) => return Err("cassandra.hosts must be a list of texts".to_owned()),
    };
    let with_port = |host: &String| {
        let is_bare_ipv6 = host.parse::<std::net::Ipv6Addr>().is_ok();
        if is_bare_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    };
    let hosts: Vec<String> = hosts.iter().map(with_port).collect();
    let keyspace = cassandra.text("keyspace")?.unwrap_or_else(|| "kask".to_owned());
    let table = cassandra.text("table")?.unwrap_or_else(|| "values".to_owned());
    let dc = cassandra.text("local_dc")?.filter(|dc| !dc.is_empty());
    let dc = dc.map_or_else(String::new, |dc| format!("&dc={dc}"));
    // What would be read as something else in an address.
    let is_odd = |text: &str| text.contains(['&', '?', '/', ',', '=', '@']);
    if hosts.iter().any(|host| is_odd(host))
        || [&keyspace, &table, &dc].iter().any(|name| is_odd(name.trim_start_matches("&dc=")))
    {
        return Err(
            "cassandra.hosts, keyspace, table and local_dc may not have any of & ? / , = @"
                .to_owned(),
        );
    }
    Ok(format!("cassandra://{}/{keyspace}?table={table}{dc}", hosts.join(",")))
}

/// Where entries are kept.
fn cassandra(
    mut cassandra: Section,
    (text, ignored): (&mut Vec<String>, &mut Vec<String>),
    (secrets, password): (&Path, &mut Vec<(&'static str, String)>),
) -> Result<(), String> {
    let url = address(&mut cassandra)?;
    text.push(format!("store = {}\n[sessions.cassandra]", quoted(&url)));
    let query = cassandra.number("query_timeout_ms")?.unwrap_or(QUERY_MS);
    if query > QUERY_MS_MAX {
        ignored.push(format!(
            "cassandra.query_timeout_ms: it is {QUERY_MS_MAX} ms now, since MediaWiki gives up after 3 s"
        ));
    }
    let connect = cassandra.number("connect_timeout_ms")?.unwrap_or(CONNECT_MS);
    if !(50..=60_000).contains(&connect) {
        ignored.push("cassandra.connect_timeout_ms: it is between 50 and 60000 ms now".to_owned());
    }
    let connect = connect.clamp(50, 60_000);
    text.push(format!(
        "query_timeout_ms = {}\nconnect_timeout_ms = {connect}",
        query.clamp(50, QUERY_MS_MAX)
    ));
    let mut login = cassandra.section("authentication", "cassandra.authentication")?;
    let is_set = |text: &String| !text.is_empty();
    match (login.text("username")?.filter(is_set), login.text("password")?.filter(is_set)) {
        (None, None) => {}
        (Some(username), Some(secret)) => {
            let file = quoted(&secrets.join("cassandra-password").display().to_string());
            text.push(format!("username = {}\npassword_file = {file}", quoted(&username)));
            password.push(("cassandra-password", secret));
        }
        _ => {
            return Err(
                "cassandra.authentication: username and password are set together or not at all"
                    .to_owned(),
            );
        }
    }
    login.finish(&[], ignored);
    let mut tls = cassandra.section("tls", "cassandra.tls")?;
    for (theirs, ours) in
        [("ca", "ca_file"), ("cert", "certificate_file"), ("key", "private_key_file")]
    {
        if let Some(file) = tls.text(theirs)?.filter(is_set) {
            text.push(format!("{ours} = {}", quoted(&file)));
        }
    }
    tls.finish(&[], ignored);
    cassandra.finish(&[], ignored);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Converted, convert};

    fn converted(yaml: &str) -> Result<Converted, String> {
        convert(serde_saphyr::from_str(yaml).unwrap(), Path::new("/secrets"))
    }

    #[test]
    fn what_it_says_is_said_in_our_words() {
        for (yaml, expected) in [
            (
                "service_name: kask",
                "listen = \"127.0.0.1:8080\"\nbase_uri = \"/v1/\"\ndefault_ttl_s = 86400",
            ),
            ("{listen_address: '::1', listen_port: 8081}", "listen = \"[::1]:8081\""),
            ("base_uri: /sessions/v1", "base_uri = \"/sessions/v1\""),
            ("default_ttl: 0", "default_ttl_s = 0"),
            ("tls: {cert: c, key: k}", "tls_cert_file = \"c\"\ntls_key_file = \"k\""),
            (
                "cassandra: {hosts: [a, '::1'], port: 1, keyspace: k, table: t, local_dc: d}",
                "store = \"cassandra://a:1,[::1]:1/k?table=t&dc=d\"",
            ),
            (
                "cassandra: {query_timeout_ms: 1000}",
                "query_timeout_ms = 1000\nconnect_timeout_ms = 5000",
            ),
            (
                "cassandra: {authentication: {username: u, password: p}}",
                "username = \"u\"\npassword_file = \"/secrets/cassandra-password\"",
            ),
            (
                "cassandra: {tls: {ca: a, cert: b, key: c}}",
                "ca_file = \"a\"\ncertificate_file = \"b\"\nprivate_key_file = \"c\"",
            ),
        ] {
            let done = converted(yaml).unwrap();
            assert!(done.text.contains(expected), "{expected} is not in\n{}", done.text);
        }
        let done =
            converted("{openapi_spec: x, odd: 1, cassandra: {query_timeout_ms: 12000}}").unwrap();
        assert_eq!(done.ignored.len(), 3, "{:?}", done.ignored);
    }

    #[test]
    fn what_it_refuses_is_refused() {
        for yaml in [
            "default_ttl: -1",
            "log_level: loud",
            "tls: {cert: c}",
            "listen_port: 70000",
            "listen_address: a b",
            "cassandra: {hosts: a}",
            "cassandra: {authentication: {username: u}}",
            "cassandra: 7",
            "cassandra: {local_dc: 'dc1&table=other'}",
            "cassandra: {hosts: ['a,b']}",
        ] {
            assert!(converted(yaml).is_err(), "{yaml}");
        }
    }
}
