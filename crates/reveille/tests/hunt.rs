//! A hunt for secrets: planted tokens, users and contents go through the real server in every way there is, and must be found nowhere but where
//! they belong.
#![cfg(test)]

use std::path::Path;

use http::Method;
use reveille_sandbox::init;
use reveille_testkit::{Answer, Client, Dir, Server, free_ports};
use serde_json::{Value, json};

/// Part of every token, well-formed or not.
const TOKEN: &str = "feedfacedeadbeef";
/// Part of every content.
const CONTENT: &str = "planted-content";
/// Part of every user.
const USER: &str = "planted-user";

/// Files of a folder that hold a text.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let holds = |path: &std::path::PathBuf| {
        path.is_file() && String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(text)
    };
    files.filter(holds).map(|path| path.display().to_string()).collect()
}

/// Registers devices at both APIs, in ways that fit and ways that do not. Returns how people see it.
async fn register(intake: &Client, public: &Client, browser: &Value, token: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mine = format!("Bearer {token}");
    let headers = [("authorization", mine.as_str()), ("content-type", "application/json")];
    let devices = [
        json!({"provider": "fcm", "token": format!("{TOKEN}-phone")}),
        json!({"provider": "fcm", "fid": format!("{TOKEN}-fid")}),
        json!({"provider": "apns", "token": TOKEN.repeat(4), "topic": "org.wikimedia.wikipedia"}),
        json!({"provider": "webpush", "subscription": browser}),
        json!({"provider": "apns", "token": format!("{TOKEN}-no-hex")}),
        json!({"provider": TOKEN, "token": TOKEN}),
        json!({"provider": "fcm", "token": {"in": TOKEN}}),
        json!({"provider": "webpush", "subscription": {"endpoint": format!("https://{TOKEN}.example/{TOKEN}")}}),
        json!({"provider": "fcm", TOKEN: 1}),
    ];
    for device in &devices {
        let body = device.to_string();
        let of_user = format!("/v1/users/{USER}-1/subscriptions");
        answers.push(intake.post_raw(&of_user, body.clone()).await);
        answers.push(public.call(Method::POST, "/v1/subscriptions", &headers, body.into()).await);
    }
    for body in [format!("{{\"provider\": \"fcm\", \"token\": \"{TOKEN}"), TOKEN.to_owned()] {
        answers.push(public.call(Method::POST, "/v1/subscriptions", &headers, body.into()).await);
    }
    answers.push(
        public.call(Method::GET, &format!("/v1/subscriptions/{TOKEN}"), &headers, Vec::new()).await,
    );
    answers.push(
        public
            .call(
                Method::GET,
                "/v1/subscriptions",
                &[("authorization", &format!("Bearer {TOKEN}"))],
                Vec::new(),
            )
            .await,
    );
    answers
}

/// What apps that know a wiki send, and what an import does: nothing that is new. Returns how people see it.
async fn of_wikis(intake: &Client, public: &Client, token: &str) -> Vec<Answer> {
    let mine = format!("Bearer {token}");
    let headers =
        [("authorization", mine.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let post = async |form: String| {
        public.call(Method::POST, "/w/api.php", &headers, form.into_bytes()).await
    };
    let tokens = post("action=query&meta=tokens&format=json".to_owned()).await.json();
    let csrf = tokens["query"]["tokens"]["csrftoken"].as_str().unwrap();
    let csrf: String = form_urlencoded::byte_serialize(csrf.as_bytes()).collect();
    let mut answers = Vec::new();
    for rest in [
        format!("command=create&provider=fcm&providertoken={TOKEN}-phone"),
        format!("command=create&provider=fcm&providertoken={TOKEN}%00"),
        format!(
            "command=create&provider=apns&providertoken={TOKEN}-no-hex&topic=org.wikimedia.wikipedia"
        ),
        format!("command=delete&providertoken={TOKEN}-unknown%7C{TOKEN}"),
        format!("command=delete&providertoken={}", vec![TOKEN; 51].join("%7C")),
    ] {
        for format in ["json", "jsonfm"] {
            let form = format!("action=echopushsubscriptions&format={format}&token={csrf}&{rest}");
            answers.push(post(form).await);
        }
    }
    answers.push(post(format!("action=echopushsubscriptions&token={TOKEN}&command=create")).await);
    let devices = json!([
        {"user": format!("{USER}-3"), "provider": "fcm", "token": format!("{TOKEN}-phone")},
        {"user": format!("{USER}-3"), "provider": "apns", "token": format!("{TOKEN}-no-hex")},
        {"user": format!("{USER}-3"), "provider": TOKEN, "token": TOKEN, TOKEN: TOKEN},
        {"user": format!("{USER}\u{1}"), "provider": "fcm", "token": TOKEN},
        TOKEN,
    ]);
    answers.push(intake.post("/v1/subscriptions/import", &devices).await);
    answers
}

/// Some devices are dead, some make the provider stumble.
async fn faults(control: &Client) {
    let faults = [("apns", "unregistered"), ("fcm", "invalid_argument"), ("webpush", "internal")];
    for (provider, reply) in faults {
        let fault = json!({"provider": provider, "reply": reply, "count": 1});
        assert_eq!(control.post("/faults", &fault).await.status, 201);
    }
}

#[tokio::test]
async fn secrets_are_found_nowhere() {
    let dir = Dir::new();
    let ports = free_ports();
    let config = init(&dir.join("rig"), ports, 1).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_reveille"));
    let start = |command| Server::start(program, &[command, "--config", config.to_str().unwrap()]);
    let mut sandbox = start("sandbox");
    sandbox.wait_for("the sandbox is listening").await;
    let mut push = start("push");
    push.wait_for("the push server is listening").await;
    let client = |port| Client::new(&format!("http://127.0.0.1:{port}"));
    let (intake, public, control) =
        (client(ports.intake), client(ports.public), client(ports.control));
    faults(&control).await;
    let browser = json!({"token": format!("{TOKEN}-browser"), "style": "mozilla"});
    let browser = control.post("/subscriptions", &browser).await.json();
    let minted = public.post("/v1/anonymous", &Value::Null).await.json();
    let token = minted["token"].as_str().unwrap();
    let mut answers = register(&intake, &public, &browser, token).await;
    answers.extend(of_wikis(&intake, &public, token).await);
    let users = json!([format!("{USER}-1"), format!("{USER}-2"), minted["user"]]);
    let body = json!({"users": users, "type": "mention", "content": {"text": CONTENT}});
    answers.push(intake.post("/v1/notifications", &body).await);
    let bad = json!({"users": users, "type": "men tion", "content": {"text": CONTENT}});
    answers.push(intake.post("/v1/notifications", &bad).await);
    for provider in ["fcm", "apns"] {
        let tokens = [format!("{TOKEN}00"), format!("{TOKEN}11")];
        let body = json!({"deviceTokens": tokens, "messageType": "checkEchoV1", "topic": "org.wikimedia.wikipedia"});
        answers.push(intake.post(&format!("/v1/message/{provider}"), &body).await);
    }
    // Four devices and two tokens each of FCM and APNs; what stumbled comes again.
    let received = control.get("/received?received_min=8&wait_s=60").await;
    assert!(received.text.contains(TOKEN), "the providers know it");
    let metrics = intake.get("/metrics").await;
    for (what, text) in [("metrics", &metrics.text), ("log", &push.log().join("\n"))] {
        for secret in [TOKEN, CONTENT, USER] {
            assert!(!text.contains(secret), "{secret} is in the {what}: {text}");
        }
    }
    for answer in &answers {
        assert!(answer.status.as_u16() < 500, "{}", answer.text);
        for secret in [TOKEN, CONTENT, USER] {
            assert!(!answer.text.contains(secret), "{secret} is in an answer: {}", answer.text);
        }
    }
    let folder = config.parent().unwrap();
    for secret in [TOKEN, CONTENT] {
        assert_eq!(files_with(folder, secret), [""; 0], "while it runs");
    }
    push.terminate();
    for secret in [TOKEN, CONTENT] {
        assert_eq!(files_with(folder, secret), [""; 0]);
        assert!(!push.log().join("\n").contains(secret));
    }
    sandbox.terminate();
}
