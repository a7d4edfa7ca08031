//! A real browser in the operators' console of `reveille dev`, and what is answered to whoever is not logged in.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

use http::Method;
use reveille_testkit::{Client, Dir, Server, chromium, free_port_range, needs_all, node, python};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// `reveille dev`, in a folder of its own.
struct Dev {
    server: Server,
    port: u16,
    dir: Dir,
}

impl Dev {
    async fn start() -> Self {
        let dir = Dir::new();
        let port = free_port_range(14);
        let data = dir.join("dev");
        let arguments = ["dev", "--port", &port.to_string(), "--dir", data.to_str().unwrap()];
        let mut server = Server::start(Path::new(env!("CARGO_BIN_EXE_reveille")), &arguments);
        server.wait_for("Wake your own browser").await;
        Self { server, port, dir }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn token_file(&self) -> PathBuf {
        self.dir.join("dev/operators.tokens")
    }
}

#[tokio::test]
async fn an_operator_walks_through_the_console() {
    let (Some(python), Some(chromium), Some(node)) = (python(), chromium(), node()) else {
        println!("{}", needs_all("Chromium, Python and axe-core at the console"));
        return;
    };
    let mut dev = Dev::start().await;
    // Kept for people to look at, and for docs/pictures.
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console.py");
    let control = format!("http://127.0.0.1:{}", dev.port + 10);
    let axe = Path::new(&node).join("node_modules/axe-core/axe.min.js");
    let mut walk = Command::new(python);
    walk.args([script, &dev.url(), &control]).args([dev.token_file(), axe]);
    walk.arg(chromium).args([dev.dir.join("chromium"), pictures.clone()]);
    let output = tokio::task::spawn_blocking(move || walk.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 10, "{said}");
    println!("{said}the pictures are in {}", pictures.display());
    dev.server.terminate();
}

#[tokio::test]
async fn whoever_is_not_logged_in_sees_and_changes_nothing() {
    let mut dev = Dev::start().await;
    let client = Client::new(&dev.url());
    for page in ["", "/overview", "/providers", "/privacy", "/subscriptions", "/feedback"] {
        let answer = client.get(&format!("/console{page}")).await;
        assert_eq!(answer.status, 303);
        assert_eq!(answer.headers["location"], "/console/login");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    assert_eq!(client.get("/console/live/overview").await.status, 401);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let pause = b"provider=fcm&do=pause".to_vec();
    let answer = client.call(Method::POST, "/console/providers", &form, pause.clone()).await;
    assert_eq!(answer.status, 303);
    assert_eq!(client.get("/v1/pause").await.json()["paused"].as_array().unwrap().len(), 0);
    // Logged in, a form of another site's page is refused all the same.
    let token = std::fs::read_to_string(dev.token_file()).unwrap();
    let log_in = format!("token={}", token.trim()).into_bytes();
    let answer = client.call(Method::POST, "/console/login", &form, log_in).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let cookie =
        answer.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let headers = [form[0], ("cookie", &*cookie), ("sec-fetch-site", "cross-site")];
    let answer = client.call(Method::POST, "/console/providers", &headers, pause.clone()).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    let headers = [form[0], ("cookie", &*cookie), ("sec-fetch-site", "same-origin")];
    let answer = client.call(Method::POST, "/console/providers", &headers, pause).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert_eq!(client.get("/v1/pause").await.json()["paused"][0], "fcm");
    for bad in ["provider=fcm", "do=pause", "provider=pigeon&do=pause", "", "provider=fcm&do=%ff"] {
        let answer = client.call(Method::POST, "/console/providers", &headers, bad.into()).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    let large = vec![b'x'; 5_000];
    let answer = client.call(Method::POST, "/console/subscriptions", &headers, large).await;
    assert_eq!(answer.status, 413);
    let said = dev.server.log().join("\n");
    assert!(!said.contains(token.trim()) && !said.contains(&cookie), "{said}");
    dev.server.terminate();
}

/// The cookie of whoever logs in with a token; the answer's status where nobody does.
async fn log_in(client: &Client, token: &str) -> Result<String, u16> {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = format!("token={}", token.trim()).into_bytes();
    let answer = client.call(Method::POST, "/console/login", &form, body).await;
    let cookie = answer.headers.get("set-cookie").ok_or(answer.status.as_u16())?;
    Ok(cookie.to_str().unwrap().split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn an_operator_whose_token_is_taken_out_is_logged_out() {
    let dir = Dir::new();
    let rig = dir.join("rig");
    let ports = reveille_testkit::free_ports();
    let config = reveille_sandbox::init(&rig, ports, 5).unwrap();
    let arguments = ["push", "--config", config.to_str().unwrap()];
    let mut server = Server::start(Path::new(env!("CARGO_BIN_EXE_reveille")), &arguments);
    server.wait_for("the push server is listening").await;
    let client = Client::new(&format!("http://127.0.0.1:{}", ports.intake));
    let (file, next) = (rig.join("operators.tokens"), "the-next-operators-token\n");
    let first = std::fs::read_to_string(&file).unwrap();
    let cookie = log_in(&client, &first).await.unwrap();
    let see = async |cookie: &str| {
        let headers = [("cookie", cookie)];
        client.call(Method::GET, "/console", &headers, Vec::new()).await.status.as_u16()
    };
    assert_eq!(see(&cookie).await, 200);
    // A stream that is open ends too.
    let mut stream = TcpStream::connect(("127.0.0.1", ports.intake)).await.unwrap();
    let ask = format!(
        "GET /console/live/overview HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    while lines.next_line().await.unwrap().expect("it is open") != "event: parts" {}
    std::fs::write(&file, next).unwrap();
    server.signal("HUP");
    server.wait_for("files have changed and are used now").await;
    assert_eq!(see(&cookie).await, 303);
    while lines.next_line().await.unwrap().is_some() {}
    assert_eq!(log_in(&client, &first).await, Err(403));
    assert_eq!(see(&log_in(&client, next).await.unwrap()).await, 200);
    server.terminate();
}

#[tokio::test]
async fn without_its_section_there_is_no_console() {
    let dir = Dir::new();
    let rig = dir.join("rig");
    let ports = reveille_testkit::free_ports();
    let config = reveille_sandbox::init(&rig, ports, 5).unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    let (before, rest) = text.split_once("[push.console]").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    std::fs::write(&config, format!("{before}{after}")).unwrap();
    let arguments = ["push", "--config", config.to_str().unwrap()];
    let mut server = Server::start(Path::new(env!("CARGO_BIN_EXE_reveille")), &arguments);
    server.wait_for("the push server is listening").await;
    let client = Client::new(&format!("http://127.0.0.1:{}", ports.intake));
    assert_eq!(client.get("/console").await.status, 404);
    assert_eq!(client.get("/console/login").await.status, 404);
    server.terminate();
}
