//! Mode `mediawiki`: a wiki says who is calling. Against a real one, and for what that one lacks, against one that answers as OAuth and `CentralAuth` do.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use reveille_model::Duration;
use reveille_store::memory::MemoryStore;
use reveille_testkit::{Answer, Delivered, PushApp, RealWiki, Receiver, needs_all};
use serde_json::json;

async fn start(api: &str, more: &str) -> PushApp {
    let text = format!(
        "[push.public.auth]\nmode = \"mediawiki\"\napi = \"{api}\"\nwiki = \"testwiki\"\n{more}"
    );
    PushApp::start_public(Arc::new(MemoryStore::default()), &text).await
}

/// Registers a device, with these headers.
async fn register(app: &PushApp, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"provider": "fcm", "token": "alices-phone"}).to_string();
    let headers = [headers, &[("content-type", "application/json")]].concat();
    app.public().call(Method::POST, "/v1/subscriptions", &headers, body.into_bytes()).await
}

async fn list(app: &PushApp, headers: &[(&str, &str)]) -> Answer {
    app.public().call(Method::GET, "/v1/subscriptions", headers, Vec::new()).await
}

/// How many devices a user has, as the site's server sees it.
async fn devices_of(app: &PushApp, user: &str) -> usize {
    let answer = app.client.get(&format!("/v1/users/{user}/subscriptions")).await;
    answer.json().as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn a_real_wiki_says_who_is_calling() {
    let Some(mut wiki) = RealWiki::start().await else {
        println!("{}", needs_all("a real wiki says who is calling"));
        return;
    };
    let app = start(&wiki.api, "").await;
    assert_eq!(list(&app, &[]).await.status, StatusCode::UNAUTHORIZED);
    let forged = [("cookie", "testwiki_session=0123456789abcdef0123456789abcdef")];
    assert_eq!(list(&app, &forged).await.status, StatusCode::UNAUTHORIZED);

    let (mut alice, bob) = (wiki.log_in("Alice").await, wiki.log_in("Bob").await);
    let cookies = alice.cookies.clone();
    let of_alice = [("cookie", cookies.as_str())];
    assert_eq!(register(&app, &of_alice).await.status, StatusCode::CREATED);
    assert_eq!(devices_of(&app, "testwiki:3").await, 1, "Alice is number 3 of testwiki");
    let of_bob = [("cookie", bob.cookies.as_str())];
    assert_eq!(list(&app, &of_bob).await.json(), json!([]));

    // What it has said is believed for a while, then no more.
    wiki.log_out(&mut alice).await;
    assert_eq!(list(&app, &of_alice).await.status, StatusCode::OK);
    app.clock.advance(Duration::from_s(60));
    assert_eq!(list(&app, &of_alice).await.status, StatusCode::UNAUTHORIZED);

    // It is down: nobody is taken for nobody.
    assert_eq!(list(&app, &of_bob).await.status, StatusCode::OK);
    wiki.stop();
    assert_eq!(list(&app, &of_bob).await.status, StatusCode::OK, "as it has said just now");
    app.clock.advance(Duration::from_s(60));
    let answer = list(&app, &of_bob).await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "auth-unavailable")
    );
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(list(&app, &[]).await.status, StatusCode::UNAUTHORIZED, "there is nothing to ask");
    wiki.start_again().await;
    assert_eq!(list(&app, &of_bob).await.status, StatusCode::OK);
}

#[tokio::test]
async fn people_of_all_wikis_and_of_one_are_never_the_same() {
    let Some(wiki) = RealWiki::start().await else {
        println!("{}", needs_all("a real wiki with central ids"));
        return;
    };
    // Alice is number 4 everywhere, and number 4 here is Bob, who is not attached.
    wiki.set(
        "class TestCentral extends LocalIdLookup {
            public function lookupCentralIds( array $map, $audience = self::AUDIENCE_PUBLIC, $flags = self::READ_NORMAL ): array { return $map; }
            public function lookupUserNames( array $names, $audience = self::AUDIENCE_PUBLIC, $flags = self::READ_NORMAL ): array {
                foreach ( $names as $name => $id ) { $names[$name] = $name === 'Alice' ? 4 : ( $name === 'Bob' ? 9 : 0 ); }
                return $names;
            }
            public function isAttached( MediaWiki\\User\\UserIdentity $user, $wikiId = MediaWiki\\User\\UserIdentity::LOCAL ): bool { return $user->getName() === 'Alice'; }
        }
        $wgCentralIdLookupProviders['CentralAuth'] = [ 'class' => TestCentral::class, 'services' => [ 'MainConfig', 'DBLoadBalancer' ] ];",
    );
    let app = start(&wiki.api, "cache_s = 0\n").await;
    let (alice, bob) = (wiki.log_in("Alice").await, wiki.log_in("Bob").await);
    assert_eq!(register(&app, &[("cookie", &alice.cookies)]).await.status, StatusCode::CREATED);
    assert_eq!(devices_of(&app, "central:4").await, 1);
    assert_eq!(list(&app, &[("cookie", &bob.cookies)]).await.json(), json!([]));
    assert_eq!(register(&app, &[("cookie", &bob.cookies)]).await.status, StatusCode::CREATED);
    assert_eq!(
        devices_of(&app, "testwiki:4").await,
        1,
        "whoever is not attached is of this wiki only"
    );
    assert_eq!(devices_of(&app, "central:4").await, 0);
}

/// A wiki that knows one bearer token.
fn answer(request: &Delivered) -> Response<Full<Bytes>> {
    let shown = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    let body = match (shown("authorization"), shown("cookie")) {
        (Some("Bearer alices"), _) => json!({"batchcomplete": true, "query": {"userinfo": {
            "id": 6, "name": "Alice", "rights": ["editmyprivateinfo"],
            "centralids": {"CentralAuth": 42, "local": 6}, "attachedlocal": {"CentralAuth": true, "local": true},
        }}}),
        (Some("Bearer broken"), _) => {
            json!({"errors": [{"code": "internal_api_error_DBConnectionError", "text": "planted"}]})
        }
        (Some("Bearer odd"), _) => json!({"query": {}}),
        (Some("Bearer blocked"), _) => {
            json!({"errors": [{"code": "mwoauth-invalid-authorization-blocked-user", "text": "planted"}]})
        }
        (Some(_), _) => {
            json!({"errors": [{"code": "mwoauth-invalid-authorization", "text": "planted"}]})
        }
        (None, Some("a=1; b=2")) => {
            json!({"query": {"userinfo": {"id": 7, "name": "Carol", "rights": []}}})
        }
        (None, Some(_)) => json!({"errors": [{"code": "readapidenied", "text": "planted"}]}),
        (None, None) => panic!("asked for nobody"),
    };
    Response::new(Full::new(body.to_string().into()))
}

#[tokio::test]
async fn a_bearer_token_is_shown_to_the_wiki_and_refused_if_it_refuses() {
    let wiki = Receiver::start_with(answer).await;
    let api = format!("http://{}/w/api.php", wiki.address);
    let app =
        start(&api, "host_header = \"meta.example.org\"\nforwarded_proto = \"https\"\n").await;
    let with = |token: &str| format!("Bearer {token}");
    assert_eq!(
        register(&app, &[("authorization", &with("alices"))]).await.status,
        StatusCode::CREATED
    );
    assert_eq!(devices_of(&app, "central:42").await, 1);
    let asked = wiki.delivered();
    let [only] = asked.as_slice() else { panic!("asked {} times", asked.len()) };
    assert_eq!(only.headers["host"], "meta.example.org");
    assert_eq!(only.headers["x-forwarded-proto"], "https");
    assert!(only.body.contains("meta=userinfo") && !only.body.contains("alices"), "{}", only.body);

    for (shown, status) in [
        (("authorization", with("mallorys")), StatusCode::UNAUTHORIZED),
        (("authorization", with("blocked")), StatusCode::UNAUTHORIZED),
        (("cookie", "a=b".to_owned()), StatusCode::UNAUTHORIZED),
        (("authorization", with("broken")), StatusCode::SERVICE_UNAVAILABLE),
        (("authorization", with("odd")), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let (name, value) = &shown;
        assert_eq!(list(&app, &[(name, value)]).await.status, status, "{name}");
    }
    // What cannot be a proof is not shown to anybody.
    let asked = wiki.delivered().len();
    for (name, value) in [
        ("authorization", "Basic YTpi".to_owned()),
        ("cookie", "a=".to_owned() + &"b".repeat(20_000)),
    ] {
        assert_eq!(list(&app, &[(name, &value)]).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(wiki.delivered().len(), asked);
    // Over HTTP/2 cookies come in pieces.
    let pieces = [("cookie", "a=1"), ("cookie", "b=2")];
    assert_eq!(list(&app, &pieces).await.status, StatusCode::OK);
}
