//! Feedback `mediawiki`: a whole server and a wiki, which answers with what a real one was seen to answer, or as one with a memory.
#![cfg(test)]

mod captured;
mod faults;
mod wiki;

use std::sync::Arc;

use reveille_model::{Duration, Outcome, Proof};
use reveille_service::clock::Clock as _;
use reveille_store::memory::MemoryStore;
use reveille_testkit::{Dir, PushApp};
use serde_json::json;

use wiki::{PASSWORD, USERNAME, Wiki};

const DEAD: Outcome = Outcome::DropSubscription(Proof::Unguarded);

struct Rig {
    app: PushApp,
    wiki: Wiki,
    store: Arc<MemoryStore>,
    dir: Dir,
}

impl Rig {
    async fn start() -> Self {
        let (wiki, store, dir) =
            (Wiki::start().await, Arc::new(MemoryStore::default()), Dir::new());
        std::fs::write(dir.join("password"), format!("{PASSWORD}\n")).unwrap();
        let app = app(&wiki, &store, &dir).await;
        Self { app, wiki, store, dir }
    }

    /// Another process on the same store.
    async fn restart(&mut self) {
        self.app.lifecycle.stop();
        PushApp::turns().await;
        let now = self.app.clock.now();
        self.app = app(&self.wiki, &self.store, &self.dir).await;
        self.app.clock.set(now);
    }

    /// Wakes these, with this outcome.
    async fn wake(&self, tokens: &[String], outcome: Outcome) {
        for some in tokens.chunks(500) {
            self.app.sender.answer(some.iter().map(|_| outcome));
            let body = json!({"deviceTokens": some, "messageType": "checkEchoV1"});
            let answer = self.app.client.post("/v1/message/fcm", &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let before = self.app.sender.count();
            self.app.end_window();
            self.app.sender.sent(before + some.len()).await;
            PushApp::turns().await;
        }
    }

    async fn die(&self, tokens: &[String]) {
        self.wake(tokens, DEAD).await;
    }

    /// Lets time pass, a second each time.
    async fn wait(&self, seconds: u32) {
        for _ in 0..seconds {
            self.app.clock.advance(Duration::from_s(1));
            self.app.client.get("/healthz").await;
            PushApp::turns().await;
        }
    }

    /// Lets time pass until it is so; returns how many seconds that took.
    async fn until(&self, what: &str, is_so: impl Fn(&wiki::Inner) -> bool) -> u32 {
        for seconds in 0..10_000 {
            if is_so(&self.wiki.inner()) {
                return seconds;
            }
            self.wait(1).await;
        }
        panic!("it is never so: {what}; {:?}", self.wiki.inner());
    }
}

async fn app(wiki: &Wiki, store: &Arc<MemoryStore>, dir: &Dir) -> PushApp {
    let more = format!(
        "[push.feedback]\nmode = \"mediawiki\"\napi = \"http://{}/w/api.php\"\nusername = \"{USERNAME}\"\npassword_file = \"{}\"\nhost_header = \"meta.example.org\"\nforwarded_proto = \"https\"\n",
        wiki.receiver.address,
        dir.join("password").display()
    );
    PushApp::start_on(Arc::<MemoryStore>::clone(store), &more).await
}

/// Tokens that nobody else has.
fn tokens(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}:{number}/_-")).collect()
}
