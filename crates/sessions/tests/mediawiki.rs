//! A real MediaWiki keeps its sessions here, whichever way its client is set: its people notice no restart, and every end.
#![cfg(test)]

use std::sync::{Arc, LazyLock};

use metrics_exporter_prometheus::PrometheusHandle;
use reveille_model::{Duration, SessionKey};
use reveille_service::clock::{Clock, SystemClock};
use reveille_service::config::Document;
use reveille_service::lifecycle::Lifecycle;
use reveille_service::telemetry::start_metrics;
use reveille_service::traces::Traces;
use reveille_sessions::{BUCKETS, Parts, SessionsConfig, SessionsServer, SessionsStoreUrl};
use reveille_store::Sessions as _;
use reveille_store_sqlite::SqliteSessions;
use reveille_testkit::{Dir, ManualClock, RealWiki, Visitor, free_port, needs_all};

/// One for the process, which may have one only.
static METRICS: LazyLock<PrometheusHandle> = LazyLock::new(|| start_metrics(&BUCKETS).unwrap());

/// Longest time a stop may take.
const GRACE: Duration = Duration::from_s(20);

/// One way to set the wiki's client and the store.
struct Way {
    /// Names the namespace of the wiki's sessions, so that what is counted is counted for this test alone.
    name: &'static str,
    /// More lines of `[sessions]`.
    more: &'static str,
    /// More members of `$wgObjectCaches`, in PHP.
    client: &'static str,
    /// What it writes with.
    method: &'static str,
    /// What values begin with, and how long their HMAC is.
    begin: (&'static str, usize),
}

/// As Wikimedia sets it.
const HMAC: Way = Way {
    name: "hmac",
    more: "",
    client: "'httpParams' => [ 'writeHeaders' => [ 'content-type' => 'application/octet-stream' ],
        'deleteHeaders' => [], 'writeMethod' => 'POST' ], 'serialization_type' => 'PHP', 'hmac_key' => 'a secret',
        'extendedErrorBodyFields' => [ 'type', 'title', 'detail', 'instance' ]",
    method: "POST",
    begin: ("PHP", 44),
};

/// As the class itself advises.
const JSON: Way = Way {
    name: "json",
    client: "'httpParams' => [ 'readHeaders' => [], 'writeHeaders' => [ 'content-type' => 'application/octet-stream' ],
        'deleteHeaders' => [], 'writeMethod' => 'POST' ], 'serialization_type' => 'JSON',
        'extendedErrorBodyFields' => [ 'type', 'title', 'detail', 'instance' ]",
    begin: ("JSON", 0),
    ..HMAC
};

/// As the class is where nobody sets anything.
const DEFAULTS: Way = Way {
    name: "defaults",
    more: "put = \"upsert\"",
    client: "",
    method: "PUT",
    begin: ("PHP", 0),
};

/// An address and a database, on which a session store runs now and then.
struct Place {
    way: Way,
    port: u16,
    dir: Dir,
}

/// A running session store.
struct Running {
    store: Arc<SqliteSessions>,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
}

impl Place {
    fn new(way: Way) -> Self {
        Self { way, port: free_port(), dir: Dir::new() }
    }

    /// What the wiki is told of it.
    fn settings(&self) -> String {
        format!(
            "$wgObjectCaches['kask-session'] = [ 'class' => 'RESTBagOStuff',
                'url' => 'http://127.0.0.1:{}/sessions/v1/', {} ];
            $wgSessionCacheType = 'kask-session';",
            self.port, self.way.client
        )
    }

    async fn start(&self, clock: Arc<dyn Clock>) -> Running {
        let Self { way: Way { name, more, .. }, port, dir } = self;
        let text = format!(
            "[sessions]\nlisten = \"127.0.0.1:{port}\"\nstore = \"sqlite:sessions.db\"\n{more}\n\
             [sessions.namespaces.{name}]\nprefix = \"testwiki:MWSession:\"\n"
        );
        let document = Document::parse(&text, dir.join("")).unwrap();
        let config = SessionsConfig::read(&document);
        assert_eq!(document.problems().take(), []);
        let config = config.unwrap();
        let SessionsStoreUrl::Sqlite(file) = &config.store else { panic!("{:?}", config.store) };
        let store = Arc::new(SqliteSessions::open(file).unwrap());
        let asked = Arc::<SqliteSessions>::clone(&store);
        let parts = Parts {
            store: asked,
            clock: Arc::clone(&clock),
            metrics: METRICS.clone(),
            traces: Traces::default(),
        };
        let lifecycle = Lifecycle::default();
        SessionsServer::bind(config, parts).await.unwrap().start(&lifecycle);
        Running { store, clock, lifecycle }
    }

    /// What the wiki has asked so far, and how it was answered.
    fn asked(&self) -> Vec<String> {
        let text = METRICS.render();
        let begin =
            format!("reveille_sessions_requests_total{{namespace=\"{}\",method=\"", self.way.name);
        let labels = text.lines().filter_map(|line| line.strip_prefix(&begin));
        let words = labels.map(|rest| rest.split('"').step_by(2).take(2).collect::<Vec<_>>());
        let mut asked: Vec<String> = words.map(|words| words.join(" ")).collect();
        asked.sort();
        asked
    }
}

/// Whatever any wiki has asked was about a session, and was answered in a way that its client takes for no error.
fn assert_all_was_well() {
    let text = METRICS.render();
    assert!(!text.contains("{namespace=\"default\""), "{text}");
    let mut codes = text.lines().filter_map(|line| {
        line.strip_prefix("http_requests_total{code=\"").and_then(|rest| rest.split('"').next())
    });
    assert!(codes.all(|code| ["200", "201", "204", "404"].contains(&code)), "{text}");
}

impl Running {
    /// Ends it as SIGTERM does. Its database is free then.
    async fn stop(self) {
        self.lifecycle.stop();
        assert_eq!(self.lifecycle.finish(GRACE).await, Ok(()));
        Arc::into_inner(self.store).expect("nobody else has it").close();
    }

    /// What is kept of somebody's session.
    async fn value(&self, visitor: &Visitor) -> Option<String> {
        let entry = self.store.get(&key(visitor), self.clock.now()).await.unwrap();
        entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
    }

    /// How many entries each namespace has.
    async fn entries(&self) -> Vec<(String, u64)> {
        let usage = self.store.usage().await.unwrap().unwrap();
        usage.into_iter().map(|(name, usage)| (name.as_str().to_owned(), usage.entries)).collect()
    }
}

/// Under which key a wiki is to keep the session of who has these cookies.
fn key(visitor: &Visitor) -> SessionKey {
    let mut cookies = visitor.cookies.split("; ");
    let id = cookies.find_map(|cookie| cookie.strip_prefix("testwiki_session="));
    SessionKey::parse(&format!("testwiki:MWSession:{}", id.expect("a session"))).unwrap()
}

/// As whom the wiki knows somebody.
async fn who(wiki: &RealWiki, visitor: &Visitor) -> Option<String> {
    let form =
        [("action", "query"), ("meta", "userinfo"), ("format", "json"), ("formatversion", "2")];
    let answer = wiki.ask(&mut visitor.clone(), &form).await;
    let user = answer.json()["query"]["userinfo"].take();
    let name = user["name"].as_str().unwrap_or_else(|| panic!("{}", answer.text));
    (user["anon"] != true).then(|| name.to_owned())
}

/// Who wrote a page last, and what.
async fn page(wiki: &RealWiki, title: &str) -> (String, String) {
    let form = [
        ("action", "query"),
        ("prop", "revisions"),
        ("rvprop", "user|content"),
        ("rvslots", "main"),
        ("titles", title),
        ("format", "json"),
        ("formatversion", "2"),
    ];
    let answer = wiki.ask(&mut Visitor::default(), &form).await.json();
    let revision = &answer["query"]["pages"][0]["revisions"][0];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (text(&revision["user"]), text(&revision["slots"]["main"]["content"]))
}

/// A wiki, if one can be had. The body of anything but POST it sends with PHP's curl only.
async fn a_wiki() -> Option<RealWiki> {
    let wiki = RealWiki::start().await;
    if wiki.is_none() {
        println!("{}", needs_all("a real wiki that keeps its sessions here"));
    }
    wiki
}

/// Two log in, the store goes and comes back, one of them edits and logs out.
async fn people_come_and_go(way: Way) {
    let Some(wiki) = a_wiki().await else { return };
    let place = Place::new(way);
    let Way { name, method, begin, .. } = place.way;
    let running = place.start(Arc::new(SystemClock)).await;
    wiki.set(&place.settings());
    let (mut alice, bob) = (wiki.log_in("Alice").await, wiki.log_in("Bob").await);
    assert_eq!(who(&wiki, &alice).await.as_deref(), Some("Alice"));
    assert_eq!(who(&wiki, &bob).await.as_deref(), Some("Bob"));
    assert_eq!(running.entries().await, [(name.to_owned(), 2)], "those of nobody are gone");
    let value = running.value(&alice).await.expect("her session");
    let parts: Vec<&str> = value.splitn(3, '.').collect();
    assert_eq!((parts[0], parts[1].len()), begin, "{value}");
    assert!(parts[2].contains("Alice"), "{value}");
    let token = wiki.csrf_token(&mut alice).await;

    running.stop().await;
    assert_eq!(who(&wiki, &alice).await, None, "nobody else keeps it");
    let running = place.start(Arc::new(SystemClock)).await;
    assert_eq!(who(&wiki, &alice).await.as_deref(), Some("Alice"));
    let text = format!("Written through {name}.");
    let form = [
        ("action", "edit"),
        ("title", "Sessions"),
        ("text", &text),
        ("token", &token),
        ("format", "json"),
    ];
    let answer = wiki.ask(&mut alice, &form).await;
    assert_eq!(answer.json()["edit"]["result"], "Success", "{}", answer.text);
    assert_eq!(page(&wiki, "Sessions").await, ("Alice".to_owned(), text));

    let before = alice.clone();
    wiki.log_out(&mut alice).await;
    assert_eq!(running.value(&before).await, None);
    assert_eq!(running.entries().await, [(name.to_owned(), 1)], "Bob's");
    assert_eq!(who(&wiki, &alice).await, None);
    assert_eq!(who(&wiki, &before).await, None);
    assert_eq!(who(&wiki, &bob).await.as_deref(), Some("Bob"));
    let written = format!("{method} 201");
    assert_eq!(place.asked(), ["DELETE 204", "GET 200", "GET 404", &written]);
    assert_all_was_well();
    running.stop().await;
}

#[tokio::test]
async fn sessions_in_php_with_hmac_are_kept() {
    people_come_and_go(HMAC).await;
}

#[tokio::test]
async fn sessions_in_json_are_kept() {
    people_come_and_go(JSON).await;
}

#[tokio::test]
async fn sessions_are_kept_where_nobody_has_set_the_client_and_put_replaces() {
    people_come_and_go(DEFAULTS).await;
}

#[tokio::test]
async fn whose_session_has_ended_is_logged_out() {
    let way = Way { name: "brief", more: "default_ttl_s = 60", ..HMAC };
    let Some(wiki) = a_wiki().await else { return };
    let (place, clock) = (Place::new(way), Arc::new(ManualClock::new(SystemClock.now())));
    let running = place.start(Arc::<ManualClock>::clone(&clock)).await;
    wiki.set(&place.settings());
    let alice = wiki.log_in("Alice").await;
    clock.advance(Duration::from_s(59));
    assert_eq!(who(&wiki, &alice).await.as_deref(), Some("Alice"));
    clock.advance(Duration::from_s(1));
    assert_eq!(who(&wiki, &alice).await, None);
    let alice = wiki.log_in("Alice").await;
    assert_eq!(who(&wiki, &alice).await.as_deref(), Some("Alice"));
    assert_all_was_well();
    running.stop().await;
}
