//! Credentials that are changed under real servers, in front of a sandbox that checks them: by a signal, or only in their files.
#![cfg(test)]

use std::path::{Path, PathBuf};

use http::Method;
use reveille_sandbox::{Ports, init};
use reveille_testkit::{Client, Dir, Server, free_port, free_ports};
use serde_json::{Value, json};

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");
const TOPIC: &str = "org.wikimedia.wikipedia";
/// In each file that is no credential, to be looked for in logs.
const MARK: &str = "mArKeD";
const TAKEN: &str = "files have changed and are used now";
const REFUSED: &str = "files have changed and cannot be used";
const MENDED: &str = "are again what is in use";
const PAUSED: &str = "our configuration is refused; paused";

/// A sandbox with its keys, those of another one that it does not know, and a push server whose credentials are files of its own.
struct Rig {
    dir: Dir,
    config: PathBuf,
    ports: Ports,
    sandbox: Client,
    push: Client,
    _sandbox: Server,
}

impl Rig {
    async fn start() -> Self {
        let (dir, ports) = (Dir::new(), free_ports());
        let config = init(&dir.join("rig"), ports, 1).unwrap();
        init(&dir.join("other"), ports, 1).unwrap();
        let text = std::fs::read_to_string(&config).unwrap();
        let (push, sandbox) = text.split_once("[sandbox.apns_apps").unwrap();
        let second = format!(
            "[sandbox.apns_apps.second]\ntopics = [\"{TOPIC}\"]\nkey_file = \"../other/AuthKey.p8\"\nkey_id = \"SECONDKEY2\"\nteam_id = \"SANDBOXTEM\"\n\n"
        );
        let push = push
            .replace("key_file = \"AuthKey.p8\"", "key_file = \"own.p8\"")
            .replace("key_id = \"SANDBOXKEY\"", "key_id_file = \"own.id\"")
            .replace("\"service-account.json\"", "\"own.json\"")
            .replace("\"vapid.pem\"", "\"own.pem\"")
            // Longer than any test waits.
            .replace("config_error_retry_s = 1 ", "config_error_retry_s = 3600 ")
            .replace("# tokens_file", "tokens_file");
        std::fs::write(&config, format!("{push}{second}[sandbox.apns_apps{sandbox}")).unwrap();
        let mut server =
            Server::start(Path::new(REVEILLE), &["sandbox", "--config", config.to_str().unwrap()]);
        server.wait_for("the sandbox is listening").await;
        let client = |port| Client::new(&format!("http://127.0.0.1:{port}"));
        let (sandbox, push) = (client(ports.control), client(ports.intake));
        let rig = Self { dir, config, ports, sandbox, push, _sandbox: server };
        rig.put("own.p8", &rig.read("rig/AuthKey.p8"));
        rig.put("own.id", "SANDBOXKEY\n");
        rig.put("own.json", &rig.read("rig/service-account.json"));
        rig.put("own.pem", &rig.read("rig/vapid.pem"));
        rig.put("intake.tokens", "first-token-0123456789\nsecond-token-0123456789\n");
        rig
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.join(file)).unwrap()
    }

    /// Puts another file in the place of the push server's, at once.
    fn put(&self, file: &str, text: &str) {
        let (new, place) = (self.dir.join("new"), self.dir.join("rig").join(file));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, place).unwrap();
    }

    async fn start_push(&self) -> Server {
        let words = ["push", "--config", self.config.to_str().unwrap()];
        let mut server = Server::start(Path::new(REVEILLE), &words);
        server.wait_for("the push server is listening").await;
        server
    }

    async fn post(&self, token: &str, path: &str, body: &Value) -> u16 {
        let authorization = format!("Bearer {token}");
        let headers =
            [("content-type", "application/json"), ("authorization", authorization.as_str())];
        let body = body.to_string().into_bytes();
        self.push.call(Method::POST, path, &headers, body).await.status.as_u16()
    }

    /// Something happens to a user who has one device, registered here.
    async fn wake(&self, user: &str, device: &Value) {
        let token = "second-token-0123456789";
        let path = format!("/v1/users/{user}/subscriptions");
        assert_eq!(self.post(token, &path, device).await, 201);
        self.notify(user).await;
    }

    async fn notify(&self, user: &str) {
        let body = json!({"users": [user], "type": "mention"});
        let status = self.post("second-token-0123456789", "/v1/notifications", &body).await;
        assert_eq!(status, 202);
    }

    /// What has arrived at a provider, once it is so much: the device's token and who sent it.
    async fn received(&self, provider: &str, count: usize) -> Vec<(String, String)> {
        let path = format!("/received?provider={provider}&received_min={count}&wait_s=60");
        let pushes = self.sandbox.get(&path).await.text;
        let pushes = pushes.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |push: &Value, key: &str| push[key].as_str().unwrap().to_owned();
        pushes.map(|push| (text(&push, "token"), text(&push, "authorized_by"))).collect()
    }

    /// Whether what is there of a set cannot be used, and how often something was refused, by the push server's metrics.
    async fn failed(&self, set: &str) -> (bool, u64) {
        let metrics = self.push.get("/metrics").await.text;
        let value = |name: String| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap_or_else(|| panic!("{name}: {metrics}")).trim().parse::<u64>().unwrap()
        };
        let failed = value(format!("reveille_credentials_reload_failed{{set=\"{set}\"}}"));
        let refused =
            format!("reveille_credentials_reloads_total{{set=\"{set}\",result=\"refused\"}}");
        (failed == 1, value(refused))
    }
}

/// Does something, and waits for what the server says to it.
async fn and_then(server: &mut Server, text: &str, act: impl FnOnce(&Server)) {
    let before = server.line_count();
    act(server);
    server.wait_for_after(before, text).await;
}

fn phone(token: &str) -> Value {
    json!({"provider": "fcm", "token": token})
}

fn iphone(token: &str) -> Value {
    json!({"provider": "apns", "token": token, "topic": TOPIC})
}

fn hang_up(server: &Server) {
    server.signal("HUP");
}

/// A key that Apple refuses, the right one, and one with another id.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_leaves_as_soon_as_a_key_of_apns_is_mended_and_then_with_another_one() {
    let rig = Rig::start().await;
    rig.put("own.p8", &rig.read("other/AuthKey.p8"));
    let mut push = rig.start_push().await;
    rig.wake("alice", &iphone("aa")).await;
    push.wait_for(PAUSED).await;
    // It was never tried, and waits for the end of the pause.
    rig.wake("bob", &iphone("bb")).await;
    rig.put("own.p8", &rig.read("rig/AuthKey.p8"));
    and_then(&mut push, "the pause ends", hang_up).await;
    push.wait_for(TAKEN).await;
    let first = ("bb".to_owned(), "SANDBOXKEY".to_owned());
    assert_eq!(rig.received("apns", 1).await, std::slice::from_ref(&first));
    rig.put("own.p8", &rig.read("other/AuthKey.p8"));
    rig.put("own.id", "SECONDKEY2");
    and_then(&mut push, "were read again", hang_up).await;
    rig.wake("carol", &iphone("cc")).await;
    let second = ("cc".to_owned(), "SECONDKEY2".to_owned());
    assert_eq!(rig.received("apns", 2).await, [first, second]);
    assert_eq!(rig.failed("apns.wikipedia").await, (false, 0));
    assert_eq!(push.terminate(), Some(0));
}

/// An account that Google refuses, the right one, and files that are none. Nobody sends a signal: what has changed is seen.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_fcm_is_taken_when_its_file_changes_and_a_broken_one_leaves_it() {
    let rig = Rig::start().await;
    rig.put("own.json", &rig.read("other/service-account.json"));
    let mut push = rig.start_push().await;
    rig.wake("alice", &phone("first")).await;
    push.wait_for(PAUSED).await;
    rig.wake("bob", &phone("second")).await;
    let right = rig.read("rig/service-account.json");
    and_then(&mut push, "the pause ends", |_| rig.put("own.json", &right)).await;
    let sender = "reveille-sandbox".to_owned();
    assert_eq!(rig.received("fcm", 1).await, [("second".to_owned(), sender.clone())]);
    assert_eq!(rig.failed("fcm.default").await, (false, 0));

    let broken = format!("{{\"private_key\": \"{MARK}\"}}");
    and_then(&mut push, REFUSED, |_| rig.put("own.json", &broken)).await;
    assert_eq!(rig.failed("fcm.default").await, (true, 1));
    let elsewhere = right.replace("\"reveille-sandbox\"", "\"another-project\"");
    and_then(&mut push, "another-project", |_| rig.put("own.json", &elsewhere)).await;
    assert_eq!(rig.failed("fcm.default").await, (true, 2));
    rig.notify("bob").await;
    assert_eq!(rig.received("fcm", 2).await[1], ("second".to_owned(), sender));
    and_then(&mut push, MENDED, |_| rig.put("own.json", &right)).await;
    assert_eq!(rig.failed("fcm.default").await, (false, 2));
    let log = push.log().join("\n");
    assert!(log.contains("own.json: it is not the JSON file of a service account"), "{log}");
    assert!(!log.contains(MARK), "{log}");
    assert_eq!(log.matches(REFUSED).count(), 2, "each is said once: {log}");
}

/// Browsers stay bound to the key they subscribed with.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_for_browsers_reaches_new_ones_and_the_one_before_those_who_had_it() {
    let rig = Rig::start().await;
    let mut push = rig.start_push().await;
    let public = Client::new(&format!("http://127.0.0.1:{}", rig.ports.public));
    let key =
        async || public.get("/v1/webpush/key").await.json()["key"].as_str().unwrap().to_owned();
    let browser = async |token: &str, key: &str| {
        let body = json!({"token": token, "application_server_key": key});
        let subscription = rig.sandbox.post("/subscriptions", &body).await;
        assert_eq!(subscription.status, 201, "{}", subscription.text);
        json!({"provider": "webpush", "subscription": subscription.json()})
    };
    let first = key().await;
    rig.wake("alice", &browser("early", &first).await).await;
    let early = ("early".to_owned(), first.clone());
    assert_eq!(rig.received("webpush", 1).await, std::slice::from_ref(&early));
    let both = rig.read("other/vapid.pem") + &rig.read("rig/vapid.pem");
    rig.put("own.pem", &both);
    and_then(&mut push, TAKEN, hang_up).await;
    let second = key().await;
    assert_ne!(second, first);
    rig.wake("bob", &browser("late", &second).await).await;
    let late = ("late".to_owned(), second);
    assert_eq!(rig.received("webpush", 2).await, [early.clone(), late.clone()]);
    rig.notify("alice").await;
    assert_eq!(rig.received("webpush", 3).await, [early.clone(), late, early]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_token_that_was_taken_out_is_refused_and_others_go_on() {
    let rig = Rig::start().await;
    let mut push = rig.start_push().await;
    let body = json!({"users": ["alice"], "type": "mention"});
    let call = async |token: &str| rig.post(token, "/v1/notifications", &body).await;
    let (first, second, third) =
        ("first-token-0123456789", "second-token-0123456789", "third-token-0123456789");
    assert_eq!((call(first).await, call(second).await, call(third).await), (202, 202, 401));
    rig.put("intake.tokens", &format!("{second}\n{third}\n"));
    and_then(&mut push, TAKEN, hang_up).await;
    assert_eq!((call(first).await, call(second).await, call(third).await), (401, 202, 202));
    // Nobody is let in because nobody is named.
    rig.put("intake.tokens", "# nobody\n");
    and_then(&mut push, "it holds no token", hang_up).await;
    assert_eq!((call(first).await, call(second).await), (401, 202));
    assert_eq!(rig.failed("push.intake").await, (true, 1));
    assert!(!push.log().join("\n").contains("-token-0123456789"));
}

/// Both listeners, each with a file of its own. One that cannot be used changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_listeners_are_taken_for_the_connections_that_follow() {
    let rig = Rig::start().await;
    let renew = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        rig.put(&format!("{name}.pem"), &(made.cert.pem() + &made.signing_key.serialize_pem()));
        made.cert.pem()
    };
    let ports = [rig.ports.intake, rig.ports.public];
    let mut text = std::fs::read_to_string(&rig.config).unwrap();
    for (name, port) in ["intake", "public"].into_iter().zip(ports) {
        let listen = format!("listen = \"127.0.0.1:{port}\"\n");
        let keys = format!("tls_cert_file = \"{name}.pem\"\ntls_key_file = \"{name}.pem\"\n");
        text = text.replace(&listen, &(listen.clone() + &keys));
    }
    std::fs::write(&rig.config, text).unwrap();
    let ask = async |port: u16, trusted: &str| {
        let trusted = reqwest::Certificate::from_pem(trusted.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]);
        let asked = client.build().unwrap().get(format!("https://127.0.0.1:{port}/nothing"));
        asked.send().await.is_ok()
    };
    let first = [renew("intake"), renew("public")];
    let mut push = rig.start_push().await;
    for (port, trusted) in ports.into_iter().zip(&first) {
        assert!(ask(port, trusted).await, "{port}");
    }
    for name in ["intake", "public"] {
        and_then(&mut push, REFUSED, |_| rig.put(&format!("{name}.pem"), "half of one")).await;
    }
    for (port, trusted) in ports.into_iter().zip(&first) {
        assert!(ask(port, trusted).await, "{port}");
    }
    let second = [renew("intake"), renew("public")];
    and_then(&mut push, "were read again", hang_up).await;
    for (port, (before, trusted)) in ports.into_iter().zip(first.iter().zip(&second)) {
        assert!(ask(port, trusted).await && !ask(port, before).await, "{port}");
    }
    assert_eq!(push.terminate(), Some(0));
}

/// The store's token is changed where it is asked for, and then where it is shown.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_that_opens_the_session_store_is_taken() {
    const SESSION: &str = "0123456789abcdefghijklmnopqrstuv";
    let (rig, port) = (Rig::start().await, free_port());
    let section = format!(
        "\n[sessions]\nlisten = \"127.0.0.1:{port}\"\nstore = \"sqlite:sessions.db\"\ntokens_file = \"store.tokens\"\n"
    );
    let auth = format!(
        "[push.public.auth]\nmode = \"sessions\"\nurl = \"http://127.0.0.1:{port}/sessions/v1/\"\nstore_token_file = \"store.token\"\n"
    );
    let text = std::fs::read_to_string(&rig.config).unwrap();
    let (before, after) = text.split_once("[push.public.auth]").unwrap();
    let after = after.split_once('\n').unwrap().1;
    std::fs::write(&rig.config, format!("{before}{auth}{after}{section}")).unwrap();
    rig.put("store.tokens", "first-token-0123456789\n");
    rig.put("store.token", "first-token-0123456789\n");
    let words = ["sessions", "--config", rig.config.to_str().unwrap()];
    let mut store = Server::start(Path::new(REVEILLE), &words);
    store.wait_for("the session store is listening").await;
    let mut push = rig.start_push().await;
    let store_client = Client::new(&format!("http://127.0.0.1:{port}"));
    let headers = [("authorization", "Bearer first-token-0123456789")];
    let value = json!({"user": "alice"}).to_string().into_bytes();
    let path = format!("/sessions/v1/{SESSION}");
    assert_eq!(store_client.call(Method::POST, &path, &headers, value).await.status, 201);
    let public = Client::new(&format!("http://127.0.0.1:{}", rig.ports.public));
    let cookie = format!("session={SESSION}");
    let ask = async || {
        let headers = [("cookie", cookie.as_str())];
        let answer = public.call(Method::GET, "/v1/subscriptions", &headers, Vec::new()).await;
        answer.status.as_u16()
    };
    assert_eq!(ask().await, 200);
    rig.put("store.tokens", "second-token-0123456789\n");
    and_then(&mut store, TAKEN, hang_up).await;
    assert_eq!(ask().await, 503, "nobody is taken for nobody");
    rig.put("store.token", "");
    and_then(&mut push, REFUSED, hang_up).await;
    assert_eq!(rig.failed("push.public.auth").await, (true, 1));
    rig.put("store.token", "second-token-0123456789\n");
    and_then(&mut push, TAKEN, hang_up).await;
    assert_eq!(ask().await, 200);
    assert!(!push.log().join("\n").contains("-token-0123456789"));
}

/// The session store, with tokens of a namespace beside its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_of_a_session_store_are_taken_too() {
    let (dir, port) = (Dir::new(), free_port());
    let text = format!(
        "[sessions]\nlisten = \"127.0.0.1:{port}\"\nstore = \"sqlite:sessions.db\"\ntokens_file = \"own\"\n[sessions.namespaces.echo]\nprefix = \"echo:\"\ntokens_file = \"echo\"\n[sessions.namespaces.same]\nprefix = \"same:\"\n"
    );
    std::fs::write(dir.join("reveille.toml"), text).unwrap();
    let put = |file: &str, token: &str| {
        std::fs::write(dir.join("new"), format!("{token}-0123456789\n")).unwrap();
        std::fs::rename(dir.join("new"), dir.join(file)).unwrap();
    };
    put("own", "first-own");
    put("echo", "first-echo");
    let config = dir.join("reveille.toml").display().to_string();
    let mut server = Server::start(Path::new(REVEILLE), &["sessions", "--config", &config]);
    server.wait_for("the session store is listening").await;
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    let ask = async |token: &str, key: &str| {
        let authorization = format!("Bearer {token}-0123456789");
        let headers = [("authorization", authorization.as_str())];
        let path = format!("/sessions/v1/{key}");
        client.call(Method::GET, &path, &headers, Vec::new()).await.status.as_u16()
    };
    let each = async |token: &str| {
        [ask(token, "x").await, ask(token, "echo:x").await, ask(token, "same:x").await]
    };
    assert_eq!(each("first-own").await, [404, 403, 404]);
    assert_eq!(each("first-echo").await, [403, 404, 403]);
    put("own", "second-own");
    put("echo", "second-echo");
    and_then(&mut server, "were read again", hang_up).await;
    assert_eq!(each("first-own").await, [401, 401, 401]);
    assert_eq!(each("second-own").await, [404, 403, 404]);
    assert_eq!(each("second-echo").await, [403, 404, 403]);
    assert_eq!(server.terminate(), Some(0));
}
