//! Beside an old Kask: its configuration, its table, its statements.

use std::process::Command;

use http::Method;
use reveille_testkit::{Cassandra, Client, Dir, Server, free_port};
use scylla::client::session_builder::SessionBuilder;

use crate::server::Running;
use crate::{KEYSPACE, binary, settings};

/// A keyspace is made with our configuration, and used with Kask's.
pub(crate) async fn command_line(cassandra: &Cassandra) {
    let (dir, cql) = (Dir::new(), cassandra.port());
    let hosts = cassandra.addresses("dc1");
    let ours = format!(
        "[sessions]\nstore = \"cassandra://{}:{cql}/{KEYSPACE}?dc=dc1\"\n[sessions.cassandra.replication]\ndc1 = 3\ndc2 = 1\n",
        hosts[0]
    );
    std::fs::write(dir.join("reveille.toml"), ours).unwrap();
    let config = dir.join("reveille.toml").display().to_string();
    let run = |arguments: &[&str]| {
        let output = Command::new(binary()).args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = run(&["check", "--config", &config]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("reveille migrate"), "{text}");
    for _ in 0..2 {
        let (code, text) = run(&["migrate", "--config", &config]);
        assert_eq!(code, Some(0), "{text}");
    }
    let (code, text) = run(&["check", "--config", &config]);
    assert_eq!(code, Some(0), "{text}");

    let port = free_port();
    let theirs = format!(
        "service_name: sessionstore\nbase_uri: /sessions/v1\nlisten_address: localhost\nlisten_port: {port}\ndefault_ttl: 3600\nlog_level: info\nopenapi_spec: openapi.yaml\ncassandra:\n  hosts: [{}]\n  port: {cql}\n  keyspace: {KEYSPACE}\n  table: values\n  local_dc: dc1\n  query_timeout_ms: 12000\n",
        hosts.join(", ")
    );
    std::fs::write(dir.join("kask.yaml"), theirs).unwrap();
    let yaml = dir.join("kask.yaml").display().to_string();
    assert_eq!(run(&["migrate", "--kask-config", &yaml]).0, Some(0));
    let mut server = Server::start(&binary(), &["sessions", "--kask-config", &yaml]);
    server.wait_for("the session store is listening").await;
    for ignored in ["openapi_spec", "query_timeout_ms", "service_name"] {
        server.wait_for(ignored).await;
    }
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    let path = "/sessions/v1/enwiki%3AMWSession%3Aabc";
    let call = async |method: Method, body: &str| {
        client.call(method, path, &[], body.into()).await.status.as_u16()
    };
    assert_eq!(call(Method::POST, "value").await, 201);
    assert_eq!(client.get(path).await.text, "value");
    // As with Kask: whoever writes beside us knows no conditions.
    assert_eq!(call(Method::PUT, "value").await, 400);
    assert_eq!(call(Method::PATCH, "").await, 400);
    assert_eq!(call(Method::DELETE, "").await, 204);
    assert_eq!(call(Method::GET, "").await, 404);
    assert_eq!(server.terminate(), Some(0));
}

/// What Kask writes we read, and the other way round, with the statements its source has.
pub(crate) async fn side_by_side(cassandra: &Cassandra) {
    let hosts = cassandra.addresses("dc1").into_iter();
    let hosts = hosts.map(|host| format!("{host}:{}", cassandra.port()));
    let kask = SessionBuilder::new().known_nodes(hosts).build().await.unwrap();
    let server = Running::start(settings(cassandra, "dc1")).await;
    let set =
        format!("INSERT INTO \"{KEYSPACE}\".\"values\" (key, value) VALUES (?,?) USING TTL ?");
    let set = kask.prepare(set).await.unwrap();
    let get =
        format!("SELECT value, TTL(value) as ttl FROM \"{KEYSPACE}\".\"values\" WHERE key = ?");
    let get = kask.prepare(get).await.unwrap();
    let read = async || {
        let rows = kask.execute_unpaged(&get, ("side",)).await.unwrap().into_rows_result().unwrap();
        rows.maybe_first_row::<(Vec<u8>, Option<i32>)>().unwrap()
    };
    kask.execute_unpaged(&set, ("side", b"theirs".to_vec(), 500)).await.unwrap();
    let answer = server.client.get("/sessions/v1/side").await;
    assert_eq!(answer.text, "theirs");
    let control = answer.headers["cache-control"].to_str().unwrap();
    let left: u32 = control.rsplit('=').next().unwrap().parse().unwrap();
    assert!((480..=500).contains(&left), "{control}");
    assert_eq!(server.status(Method::POST, "side", "ours").await, 201);
    let (value, ttl) = read().await.unwrap();
    assert_eq!(value, b"ours");
    assert!((86_300..=86_400).contains(&ttl.unwrap()), "{ttl:?}");
    kask.execute_unpaged(&set, ("side", b"theirs".to_vec(), 500)).await.unwrap();
    assert_eq!(server.ask(Method::GET, "side", "").await, (200, "theirs".to_owned()));
    assert_eq!(server.status(Method::DELETE, "side", "").await, 204);
    assert_eq!(read().await, None);
}
