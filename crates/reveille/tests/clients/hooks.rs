//! What receives webhooks, before what the real server signs and what it does not.

use std::path::Path;
use std::process::Command;

use http::Method;
use reveille_testkit::{
    Client, Delivered, Dir, Receiver, Server, free_port, needs_all, php, python,
};
use serde_json::{Value, json};

use crate::rig::{Rig, Settings, at, clients, succeeds};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// How often it is looked for the delivery, a second each time.
const LOOKS_MAX: usize = 60;

/// A request: its headers and its body.
#[derive(Clone)]
struct Signed {
    id: String,
    timestamp: String,
    signature: String,
    body: String,
}

impl Signed {
    fn of_delivery(delivered: &Delivered) -> Self {
        let header = |name: &str| delivered.headers[name].to_str().unwrap().to_owned();
        Self {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            body: delivered.body.clone(),
        }
    }

    fn of_json(json: &Value) -> Self {
        let word = |name: &str| json[name].as_str().unwrap().to_owned();
        Self {
            id: word("id"),
            timestamp: word("timestamp"),
            signature: word("signature"),
            body: word("body"),
        }
    }

    async fn post(&self, client: &Client) -> u16 {
        let headers = [
            ("content-type", "application/json"),
            ("webhook-id", &self.id),
            ("webhook-timestamp", &self.timestamp),
            ("webhook-signature", &self.signature),
        ];
        let body = self.body.clone().into_bytes();
        client.call(Method::POST, "/", &headers, body).await.status.as_u16()
    }
}

/// What a real server posts when a phone is gone.
async fn delivery() -> Signed {
    let receiver = Receiver::start().await;
    let dir = Dir::new();
    let secret = dir.join("webhook.secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let more = format!(
        "\n[push.feedback]\nmode = \"webhook\"\nurl = \"http://{}/\"\nsecret_file = \"{}\"\n",
        receiver.address,
        secret.display()
    );
    let rig = Rig::start(Settings { more: &more, ..Settings::default() }).await;
    rig.register("alice", "a-phone-that-is-gone").await;
    rig.fault(&json!({"provider": "fcm", "token": "a-phone-*", "reply": "unregistered"})).await;
    let client = Client::new(&at(rig.ports.intake));
    let body = json!({"users": ["alice"], "type": "mention"});
    assert_eq!(client.post("/v1/notifications", &body).await.status, 202);
    for _ in 0..LOOKS_MAX {
        if let Some(delivered) = receiver.delivered().first() {
            return Signed::of_delivery(delivered);
        }
        rig.wait().await;
    }
    panic!("it is never told");
}

/// Requests that the reference library signs: good ones, and one that is ten minutes old.
async fn signed_elsewhere(python: &Path) -> Vec<(Signed, u16)> {
    let script = r#"
import datetime, json, sys
from standardwebhooks.webhooks import Webhook
webhook, body = Webhook(sys.argv[1]), json.dumps({"type": "token.alive", "data": {}})
now = datetime.datetime.now(tz=datetime.timezone.utc)
for age_s, status in [(0, 204), (600, 401), (-600, 401)]:
    at = now - datetime.timedelta(seconds=age_s)
    good = webhook.sign("msg_x", at, body)
    several = "v1,AAAA v1a,AAAA " + good
    for signature in [good, several]:
        print(json.dumps({"id": "msg_x", "timestamp": str(int(at.timestamp())), "signature": signature, "body": body, "status": status}))
"#;
    let mut run = Command::new(python);
    run.args(["-c", script, SECRET]);
    let said = succeeds(run, 0).await;
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let status = |json: &Value| u16::try_from(json["status"].as_u64().unwrap()).unwrap();
    let signed: Vec<_> = lines.map(|json| (Signed::of_json(&json), status(&json))).collect();
    assert_eq!(signed.len(), 6);
    signed
}

/// Requests that nobody has signed so.
fn forged(signed: &Signed) -> Vec<Signed> {
    let with = |change: fn(&mut Signed)| {
        let mut forged = signed.clone();
        change(&mut forged);
        forged
    };
    vec![
        with(|forged| forged.body.push(' ')),
        with(|forged| forged.id.push('x')),
        with(|forged| {
            let next = forged.timestamp.parse::<i64>().unwrap() + 1;
            forged.timestamp = next.to_string();
        }),
        with(|forged| forged.timestamp = "soon".to_owned()),
        with(|forged| forged.signature = String::new()),
        with(|forged| forged.signature = "v1,".to_owned()),
        with(|forged| forged.signature = forged.signature.replace("v1,", "v2,")),
        with(|forged| forged.signature = format!("v1,{}", "A".repeat(43))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_receives_webhooks_takes_what_the_server_signs_and_nothing_else() {
    let (Some(python), Some(php)) = (python(), php()) else {
        println!("{}", needs_all("what receives webhooks, in Python and PHP"));
        return;
    };
    let real = delivery().await;
    assert!(real.body.contains("a-phone-that-is-gone"), "{}", real.body);
    let elsewhere = signed_elsewhere(Path::new(&python)).await;
    let file = |name: &str| clients().join(name).display().to_string();
    let environment = [("REVEILLE_WEBHOOK_SECRET", SECRET), ("PYTHONDONTWRITEBYTECODE", "1")];
    let (port, php_port) = (free_port(), free_port());
    let mut by_python = Server::start_with(
        Path::new(&python),
        &[&file("python/webhook.py"), &port.to_string()],
        &environment,
    );
    by_python.wait_for("listening").await;
    let mut by_php = Server::start_with(
        Path::new(&php),
        &["-S", &format!("127.0.0.1:{php_port}"), &file("php/webhook.php")],
        &environment,
    );
    by_php.wait_for("started").await;
    for (mut receiver, port) in [(by_python, port), (by_php, php_port)] {
        let client = Client::new(&at(port));
        // The same may be told again.
        for _ in 0..2 {
            assert_eq!(real.post(&client).await, 204, "{:?}", receiver.log());
        }
        receiver.wait_for("dead: fcm UNREGISTERED").await;
        for (signed, status) in &elsewhere {
            assert_eq!(signed.post(&client).await, *status, "{:?}", receiver.log());
        }
        for (number, forged) in forged(&real).iter().enumerate() {
            let status = forged.post(&client).await;
            assert_eq!(status, 401, "{number}: {:?}", receiver.log());
        }
        let long = Signed { body: "x".repeat(100_000), ..real.clone() };
        assert_eq!(long.post(&client).await, 400);
        assert_eq!(client.get("/").await.status, 400);
        let log = receiver.log();
        assert!(!log.iter().any(|line| line.contains("a-phone-that-is-gone")), "{log:?}");
        assert!(!log.iter().any(|line| line.contains("Traceback") || line.contains("Warning")));
    }
}

/// A secret that is empty, as where its file is not there, would let everybody in who signs with nothing.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_nothing_is_taken() {
    let (Some(python), Some(php)) = (python(), php()) else {
        println!("{}", needs_all("what receives webhooks, without a secret"));
        return;
    };
    let file = |name: &str| clients().join(name).display().to_string();
    for secret in ["", "whsec_"] {
        let mut run = Command::new(&python);
        run.args([file("python/webhook.py"), free_port().to_string()]);
        run.env("REVEILLE_WEBHOOK_SECRET", secret).env("PYTHONDONTWRITEBYTECODE", "1");
        let ended = run.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && said.contains("the secret is empty"), "{said}");
        assert!(!said.contains("Traceback"), "{said}");
        // With the key of no bytes.
        let check = format!(
            "verify = reveilleVerify('{secret}', 'x', '100', 'v1,' . base64_encode(hash_hmac('sha256', 'x.100.{{}}', '', true)), '{{}}', 100)"
        );
        let script =
            format!("require '{}'; ${check}; exit($verify ? 1 : 0);", file("php/webhook.php"));
        let mut run = Command::new(&php);
        run.args(["-r", &script]).env("REVEILLE_WEBHOOK_SECRET", secret);
        let ended = run.output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    }
}
