//! A device that has to prove that it has its token.

use std::sync::Arc;

use reveille_model::{Outcome, Proof, Settled};
use reveille_store::memory::MemoryStore;
use reveille_testkit::PushApp;
use serde_json::{Value, json};

use super::{BY_HEADER, call};

async fn app() -> PushApp {
    let public = format!("{BY_HEADER}[push.subscriptions]\nverify = true\n");
    PushApp::start_public(Arc::new(MemoryStore::default()), &public).await
}

#[tokio::test]
async fn a_device_counts_once_it_has_shown_its_nonce() {
    let app = app().await;
    let phone = json!({"provider": "fcm", "token": "phone"});
    let created = call(app.public(), "alice", "POST", "/v1/subscriptions", &phone).await;
    assert_eq!((created.status.as_u16(), &created.json()["verified"]), (201, &json!(false)));
    // No window has to end for it.
    let push = app.sender.sent(1).await.first().unwrap().clone();
    assert_eq!((push.token.expose(), push.message_type.as_str()), ("phone", "verifyV1"));
    let nonce = push.nonce.unwrap().to_string();
    assert!(!created.text.contains(&nonce));
    let mention = json!({"users": ["alice"], "type": "mention"});
    app.client.post("/v1/notifications", &mention).await;
    assert_eq!(app.ledger().await.accepted, 1, "only the push that asks");

    let path = format!("/v1/subscriptions/{}", created.json()["id"].as_str().unwrap());
    let verify = format!("{path}/verify");
    let show = async |user: &str, nonce: &str| {
        call(app.public(), user, "POST", &verify, &json!({"nonce": nonce})).await
    };
    assert_eq!(show("alice", &"0".repeat(32)).await.problem(), "wrong-nonce");
    assert_eq!(show("alice", "x").await.problem(), "wrong-nonce");
    assert_eq!(show("bob", &nonce).await.problem(), "unknown-subscription");
    let shown = show("alice", &nonce).await;
    assert_eq!((shown.status.as_u16(), &shown.json()["verified"]), (200, &json!(true)));
    assert_eq!(show("alice", &nonce).await.problem(), "unknown-subscription");
    app.client.post("/v1/notifications", &mention).await;
    app.end_window();
    let pushes = app.sender.sent(2).await;
    assert_eq!(pushes[1].nonce, None, "no other push says anything");

    // At the next launch nothing is asked, and another token has to be proven.
    let again = call(app.public(), "alice", "POST", "/v1/subscriptions", &phone).await;
    assert_eq!(again.status, 200);
    let rotated = call(app.public(), "alice", "PATCH", &path, &json!({"token": "new"})).await;
    assert_eq!(rotated.problem(), "register-anew");
    let sealed = call(app.public(), "alice", "PATCH", &path, &json!({"sealed": true})).await;
    assert_eq!(sealed.status, 200);
    // The site's own word is enough.
    let tablet = json!({"provider": "fcm", "token": "tablet"});
    let by_site = app.client.post("/v1/users/alice/subscriptions", &tablet).await;
    assert_eq!((by_site.status.as_u16(), &by_site.json()["verified"]), (201, &json!(true)));
    let listed = call(app.public(), "alice", "GET", "/v1/subscriptions", &Value::Null).await;
    assert_eq!(listed.json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn whoever_claims_anothers_token_does_them_no_harm() {
    let app = app().await;
    let phone = json!({"provider": "fcm", "token": "phone"});
    let owner = "/v1/users/owner/subscriptions";
    assert_eq!(app.client.post(owner, &phone).await.status, 201);
    // With an app of their own, say, so that the provider calls the token dead.
    for proof in [Proof::Guarded, Proof::Unguarded] {
        app.sender.answer([Outcome::DropSubscription(proof)]);
        let thief = format!("thief-{proof:?}");
        let claimed = call(app.public(), &thief, "POST", "/v1/subscriptions", &phone).await;
        assert_eq!(claimed.json()["verified"], false);
        let asked = u64::from(proof == Proof::Unguarded) + 1;
        while app.ledger().await.settled(Settled::Dead) < asked {
            tokio::task::yield_now().await;
        }
    }
    let devices = app.client.get(owner).await.json();
    assert_eq!(devices.as_array().unwrap().len(), 1, "it is there");
    assert_eq!(devices[0]["suspect"], false);
    assert_eq!(app.client.get("/v1/quarantine").await.json()["count"], 0);
    let mention = json!({"users": ["owner"], "type": "mention"});
    app.client.post("/v1/notifications", &mention).await;
    app.end_window();
    assert_eq!(app.sender.sent(3).await.len(), 3);
}
