//! Feedback `webhook`: a whole server, a receiver that answers as told, and `standardwebhooks` of Python as the judge of signatures.
#![cfg(test)]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use reveille_model::{Duration, Outcome, Proof};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_service::reload::LOOK_EVERY;
use reveille_store::Feedback as _;
use reveille_store::memory::MemoryStore;
use reveille_testkit::{Delivered, Dir, PushApp, Receiver, needs_all, python};
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Another one, that takes its place.
const SECOND: &str = "whsec_c2Vjb25kIHNlY3JldCBvZiB0aGUgdGVzdHM=";
const DEAD: Outcome = Outcome::DropSubscription(Proof::Unguarded);

struct Rig {
    app: PushApp,
    receiver: Receiver,
    store: Arc<MemoryStore>,
    dir: Dir,
}

impl Rig {
    async fn start() -> Self {
        let (receiver, store, dir) =
            (Receiver::start().await, Arc::new(MemoryStore::default()), Dir::new());
        std::fs::write(dir.join("webhook.secret"), format!("{SECRET}\n")).unwrap();
        let app = Self::app(&receiver, &store, &dir).await;
        Self { app, receiver, store, dir }
    }

    async fn app(receiver: &Receiver, store: &Arc<MemoryStore>, dir: &Dir) -> PushApp {
        let more = format!(
            "[push.feedback]\nmode = \"webhook\"\nurl = \"http://{}/hook\"\nsecret_file = \"{}\"\n",
            receiver.address,
            dir.join("webhook.secret").display()
        );
        let app = PushApp::start_on(Arc::<MemoryStore>::clone(store), &more).await;
        // The judge looks at the machine's clock.
        app.clock.set(SystemClock.now());
        app
    }

    /// Lets time pass until so many requests have come.
    async fn delivered(&self, count: usize) -> Vec<Delivered> {
        for _ in 0..2_000 {
            let delivered = self.receiver.delivered();
            if delivered.len() >= count {
                return delivered;
            }
            self.app.clock.advance(Duration::from_ms(100));
            self.app.client.get("/healthz").await;
        }
        panic!("{count} deliveries never come: {:?}", self.receiver.delivered());
    }

    async fn die(&self, token: &str) {
        self.app.sender.answer([DEAD]);
        let body = json!({"deviceTokens": [token], "messageType": "checkEchoV1"});
        assert_eq!(self.app.client.post("/v1/message/fcm", &body).await.status, 200);
        let before = self.app.sender.count();
        self.app.end_window();
        self.app.sender.sent(before + 1).await;
    }
}

fn status(code: u16) -> Response<Full<Bytes>> {
    Response::builder().status(code).body(Full::default()).unwrap()
}

fn event(delivered: &Delivered) -> Value {
    serde_json::from_str(&delivered.body).unwrap()
}

fn id(delivered: &Delivered) -> &str {
    delivered.headers["webhook-id"].to_str().unwrap()
}

/// Asks the reference library whether the signatures are right, and whether it notices one that is not.
fn judge(secret: &str, delivered: &[Delivered]) {
    let Some(python) = python() else {
        println!("{}", needs_all("the Standard Webhooks library in Python"));
        return;
    };
    let script = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
webhook = Webhook(sys.argv[1])
for line in sys.stdin:
    request = json.loads(line)
    webhook.verify(request["body"], request["headers"])
    try:
        webhook.verify(request["body"] + " ", request["headers"])
        sys.exit("a changed body was taken")
    except WebhookVerificationError:
        pass
"#;
    let mut child =
        Command::new(python).args(["-c", script, secret]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for each in delivered {
        let headers: serde_json::Map<String, Value> = each
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
            .collect();
        writeln!(input, "{}", json!({"body": each.body, "headers": headers})).unwrap();
    }
    drop(input);
    assert!(child.wait().unwrap().success(), "the reference library refuses a signature");
}

#[tokio::test]
async fn a_secret_that_is_changed_signs_from_then_on() {
    let rig = Rig::start().await;
    rig.die("first").await;
    judge(SECRET, &rig.delivered(1).await);
    std::fs::write(rig.dir.join("new"), SECOND).unwrap();
    std::fs::rename(rig.dir.join("new"), rig.dir.join("webhook.secret")).unwrap();
    let taken = "reveille_credentials_reloads_total{set=\"push.feedback\",result=\"taken\"} 1";
    let mut looks = 0;
    while !rig.app.client.get("/metrics").await.text.contains(taken) {
        looks += 1;
        assert!(looks < 100, "nobody looks");
        rig.app.clock.advance(LOOK_EVERY);
    }
    rig.die("second").await;
    judge(SECOND, &rig.delivered(2).await[1..]);
}

#[tokio::test]
async fn a_death_is_posted_signed_and_says_whose_device_it_was() {
    let rig = Rig::start().await;
    let registered = rig
        .app
        .client
        .post("/v1/users/alice/subscriptions", &json!({"provider": "fcm", "token": "phone"}))
        .await
        .json();
    rig.die("phone").await;
    rig.die("stranger").await;
    let delivered = rig.delivered(2).await;
    let first = event(&delivered[0]);
    assert_eq!(first["type"], "token.dead");
    assert!(first["timestamp"].as_str().unwrap().ends_with('Z'));
    let expected = json!({
        "provider": "fcm", "app": "default", "token": "phone", "reason": "stub",
        "subscription": registered["id"], "user": "alice",
    });
    assert_eq!(first["data"], expected);
    let second = event(&delivered[1]);
    let expected =
        json!({"provider": "fcm", "app": "default", "token": "stranger", "reason": "stub"});
    assert_eq!(second["data"], expected);
    assert_ne!(id(&delivered[0]), id(&delivered[1]));
    assert_eq!(delivered[0].headers["content-type"], "application/json");
    judge(SECRET, &delivered);
}

#[tokio::test]
async fn what_is_not_taken_is_posted_again_under_the_same_id() {
    let rig = Rig::start().await;
    let later = Response::builder().status(503).header("retry-after", "30").body(Full::default());
    rig.receiver.answer([status(500), later.unwrap(), status(302), status(404)]);
    rig.die("phone").await;
    rig.delivered(2).await;
    let named = rig.app.clock.now().plus(Duration::from_s(29));
    let delivered = rig.delivered(5).await;
    assert!(rig.app.clock.now() >= named, "not before the time the receiver named");
    assert!(delivered.iter().all(|each| id(each) == id(&delivered[0])));
    assert!(delivered.iter().all(|each| each.body == delivered[0].body));
    judge(SECRET, &delivered);
    for _ in 0..100 {
        rig.app.clock.advance(Duration::from_s(60));
        rig.app.client.get("/healthz").await;
    }
    assert_eq!(rig.receiver.delivered().len(), 5, "taken is taken");
    assert_eq!(rig.store.untold_count().await, Ok((0, None)));
}

#[tokio::test]
async fn one_that_is_refused_holds_up_its_own_token_only() {
    let rig = Rig::start().await;
    rig.receiver.answer([status(400), status(400)]);
    rig.die("unloved").await;
    rig.delivered(1).await;
    rig.die("unloved").await;
    rig.die("other").await;
    let delivered = rig.delivered(5).await;
    let of = |token: &str| -> Vec<&str> {
        delivered.iter().filter(|each| event(each)["data"]["token"] == token).map(id).collect()
    };
    let (unloved, other) = (of("unloved"), of("other"));
    assert_eq!(other.len(), 1, "it does not wait for the other token");
    assert_eq!(unloved.len(), 4);
    assert!(
        unloved[..3].iter().all(|each| *each == unloved[0]),
        "the older death until it is taken"
    );
    assert_ne!(unloved[3], unloved[0], "and then the newer one");
}

#[tokio::test]
async fn deaths_outlive_a_restart() {
    let rig = Rig::start().await;
    rig.receiver.answer([status(503)]);
    rig.die("phone").await;
    rig.delivered(1).await;
    let Rig { app, receiver, store, dir } = rig;
    app.lifecycle.stop();
    app.lifecycle.finish(Duration::from_s(30)).await.unwrap();
    drop(app);
    let app = Rig::app(&receiver, &store, &dir).await;
    let rig = Rig { app, receiver, store, dir };
    let delivered = rig.delivered(2).await;
    assert_eq!(id(&delivered[0]), id(&delivered[1]));
    judge(SECRET, &delivered);
}
