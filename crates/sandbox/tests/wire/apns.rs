//! The look-alike of APNs.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::rig::{AppKey, Http1, Http2, Raw, Rig};

const TOPIC: (&str, &str) = ("apns-topic", "org.wikimedia.wikipedia");
const ALERT: &str = r#"{"aps":{"alert":"checkEchoV1","mutable-content":1}}"#;

fn key(rig: &Rig) -> AppKey {
    AppKey::from_pem(&rig.file("AuthKey.p8"))
}

#[tokio::test]
async fn a_push_is_taken_and_can_be_read() {
    let rig = Rig::start("", &[]).await;
    let bearer = key(&rig).bearer(0);
    let mut client = Http2::connect(&rig, rig.ports.apns).await;
    let id = "eabf3a12-0d3a-4f0e-8f3e-0123456789ab";
    let headers = [
        ("authorization", bearer.as_str()),
        TOPIC,
        ("apns-id", id),
        ("apns-push-type", "alert"),
        ("apns-priority", "10"),
        ("apns-expiration", "0"),
    ];
    let reply = client.send(("POST", "/3/device/aabb01"), &headers, ALERT).await.unwrap();
    assert_eq!((reply.status, reply.body.as_str(), reply.header("apns-id")), (200, "", Some(id)));
    let reply = client.send(("POST", "/3/device/aabb02"), &headers[..2], ALERT).await.unwrap();
    assert_eq!((reply.status, reply.header("apns-id").map(str::len)), (200, Some(36)));
    let received = rig.received("apns").await;
    assert_eq!(received.len(), 2);
    let push = &received[0];
    assert_eq!(
        (&push["provider"], &push["token"], &push["answer"]),
        (&json!("apns"), &json!("aabb01"), &json!("200"))
    );
    assert_eq!(push["payload"]["aps"]["alert"], "checkEchoV1");
    assert_eq!(push["authorized_by"], "SANDBOXKEY");
    assert_eq!(push["body_bytes"], ALERT.len());
    assert_eq!(push["headers"]["apns-topic"], TOPIC.1);
    assert!(push["headers"].get("authorization").is_none());
    assert_eq!(rig.received("fcm").await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_apple_refuses_is_refused_with_its_reason() {
    let rig = Rig::start("", &[]).await;
    let (bearer, old) = (key(&rig).bearer(0), key(&rig).bearer(3_700));
    let good = ("authorization", bearer.as_str());
    let device = ("POST", "/3/device/aabb");
    for (target, headers, body, status, reason) in [
        (("GET", "/3/device/aabb"), vec![good, TOPIC], ALERT, 405, "MethodNotAllowed"),
        (("POST", "/3/devices/aabb"), vec![good, TOPIC], ALERT, 404, "BadPath"),
        (("POST", "/3/device/"), vec![good, TOPIC], ALERT, 400, "MissingDeviceToken"),
        (("POST", "/3/device/xyz"), vec![good, TOPIC], ALERT, 400, "BadDeviceToken"),
        (device, vec![TOPIC], ALERT, 403, "MissingProviderToken"),
        (device, vec![("authorization", "bearer x"), TOPIC], ALERT, 403, "InvalidProviderToken"),
        (device, vec![good], ALERT, 400, "MissingTopic"),
        (device, vec![good, ("apns-topic", "org.example")], ALERT, 400, "TopicDisallowed"),
        (device, vec![good, TOPIC, TOPIC], ALERT, 400, "DuplicateHeaders"),
        (device, vec![good, TOPIC, ("apns-priority", "3")], ALERT, 400, "BadPriority"),
        (device, vec![good, TOPIC], "", 400, "PayloadEmpty"),
        (device, vec![good, TOPIC], &"x".repeat(4_097), 413, "PayloadTooLarge"),
    ] {
        let mut client = Http2::connect(&rig, rig.ports.apns).await;
        let reply = client.send(target, &headers, body.to_owned()).await.unwrap();
        assert_eq!((reply.status, reply.json()), (status, json!({ "reason": reason })));
    }
    let mut client = Http2::connect(&rig, rig.ports.apns).await;
    let headers = [("authorization", old.as_str()), TOPIC];
    let reply = client.send(device, &headers, ALERT).await.unwrap();
    assert_eq!(reply.json(), json!({"reason": "ExpiredProviderToken"}));
    assert_eq!(rig.received("apns").await.len(), 0, "none of these is a push");
    let stats = rig.stats().await;
    assert_eq!(stats["providers"]["apns"]["refused"]["MissingTopic"], 1);
    assert_eq!(stats["providers"]["apns"]["connections"], 13);
}

#[tokio::test]
async fn streams_are_many_only_after_a_good_token_and_follow_the_settings() {
    let rig = Rig::start("apns_streams_max = 700", &[]).await;
    let bearer = key(&rig).bearer(0);
    let device = ("POST", "/3/device/aabb");
    let mut client = Http2::connect(&rig, rig.ports.apns).await;
    client.send(device, &[("authorization", "bearer x"), TOPIC], ALERT).await.unwrap();
    client.wait_for_streams(1).await;
    client.send(device, &[("authorization", bearer.as_str()), TOPIC], ALERT).await.unwrap();
    client.wait_for_streams(700).await;
    for streams in [1, 9] {
        let settings = json!({"provider": "apns", "streams_max": streams});
        assert_eq!(rig.ask("POST", "/settings", &settings).await.0, 204);
        client.wait_for_streams(streams).await;
        let headers = [("authorization", bearer.as_str()), TOPIC];
        assert_eq!(client.send(device, &headers, ALERT).await.unwrap().status, 200);
    }
    assert_eq!(rig.stats().await["violations"], 0);
}

#[tokio::test]
async fn a_client_with_too_many_streams_is_sent_away() {
    let rig = Rig::start("", &[]).await;
    let mut raw = Raw::connect(&rig, rig.ports.apns).await;
    let (kind, _, body) = raw.read().await;
    assert_eq!((kind, body), (4, vec![0, 3, 0, 0, 0, 1]), "one stream, before anything else");
    raw.write(4, 1, 0, &[]).await;
    assert_eq!(raw.read().await.0, 4);
    raw.write(4, 1, 0, &[]).await;
    // POST https / of nobody, without an end.
    for stream in [1, 3] {
        raw.write(1, 4, stream, &[0x83, 0x87, 0x84, 0x01, 1, b'x']).await;
    }
    let goaway = raw.read_kind(7).await;
    assert_eq!(&goaway[8..], br#"{"reason":"active streams violated"}"#);
    assert_eq!(rig.stats().await["providers"]["apns"]["violations"], 1);
}

#[tokio::test]
async fn faults_are_played_and_every_push_is_remembered() {
    let rig = Rig::start("", &[]).await;
    let bearer = key(&rig).bearer(0);
    let headers = [("authorization", bearer.as_str()), TOPIC];
    let mut client = Http2::connect(&rig, rig.ports.apns).await;
    let dead =
        json!({"provider": "apns", "token": "dead*", "reply": "unregistered", "timestamp": 5});
    let odd = json!({"token": "0dd0", "reply": "status", "status": 429, "reason": "New", "headers": {"x-why": "y"}});
    rig.fault(json!([dead, odd])).await;
    let reply = client.send(("POST", "/3/device/dead01"), &headers, ALERT).await.unwrap();
    assert_eq!(
        (reply.status, reply.json()),
        (410, json!({"reason": "Unregistered", "timestamp": 5}))
    );
    let reply = client.send(("POST", "/3/device/0dd0"), &headers, ALERT).await.unwrap();
    assert_eq!((reply.status, reply.header("x-why")), (429, Some("y")));
    rig.fault(json!({"provider": "apns", "reply": "refused", "count": 1})).await;
    let refused = client.send(("POST", "/3/device/aa"), &headers, ALERT).await.err().unwrap();
    assert_eq!(refused.reason(), Some(h2::Reason::REFUSED_STREAM));
    let answers: Vec<Value> =
        rig.received("apns").await.iter().map(|push| push["answer"].clone()).collect();
    assert_eq!(answers, ["410", "429", "refused"]);
    let expected = json!({"410": 1, "429": 1, "refused": 1});
    assert_eq!(rig.stats().await["providers"]["apns"]["answers"], expected);
}

#[tokio::test]
async fn a_connection_ends_with_the_reason_asked_for() {
    let rig = Rig::start("", &[]).await;
    let bearer = key(&rig).bearer(0);
    let headers = [("authorization", bearer.as_str()), TOPIC];
    for (reply, is_answered) in [("goaway", false), ("goaway_graceful", true)] {
        rig.fault(json!({"reply": reply, "reason": "Shutdown", "count": 1})).await;
        let mut client = Http2::connect(&rig, rig.ports.apns).await;
        let answer = client.send(("POST", "/3/device/aa"), &headers, ALERT).await;
        assert_eq!(answer.is_ok_and(|answer| answer.status == 200), is_answered, "{reply}");
        drop(client.end().await);
    }
    let reason = br#"{"reason":"Shutdown"}"#.as_slice();
    let goaway = |last: u32| [last.to_be_bytes().as_slice(), &[0; 4], reason].concat();
    rig.fault(json!({"reply": "goaway", "reason": "Shutdown", "count": 1})).await;
    let mut raw = Raw::connect(&rig, rig.ports.apns).await;
    raw.push(&bearer, TOPIC.1, ALERT).await;
    assert_eq!(raw.read_kind(7).await, goaway(1));
    // In two phases: the highest stream there can be, then the last one that was answered.
    rig.fault(json!({"reply": "goaway_graceful", "reason": "Shutdown", "count": 1})).await;
    let mut raw = Raw::connect(&rig, rig.ports.apns).await;
    for _ in 0..2 {
        raw.read_kind(4).await;
        raw.write(4, 1, 0, &[]).await;
    }
    raw.push(&bearer, TOPIC.1, ALERT).await;
    assert_eq!(raw.read_kind(7).await, goaway(0x7fff_ffff));
    let ping = raw.read_kind(6).await;
    raw.write(6, 1, 0, &ping).await;
    assert_eq!(raw.read_kind(7).await, goaway(1));
}

#[tokio::test]
async fn connections_can_be_refused_or_held_back() {
    let rig = Rig::start("", &[]).await;
    rig.fault(json!({"provider": "apns", "reply": "refuse_connection", "count": 1})).await;
    assert!(Http2::with_identity(&rig, rig.ports.apns, None).await.is_err());
    rig.fault(json!({"provider": "apns", "reply": "slow_tls", "delay_ms": 300, "count": 1})).await;
    let stopwatch = reveille_service::clock::Stopwatch::start();
    Http2::connect(&rig, rig.ports.apns).await;
    assert!(stopwatch.seconds() >= 0.3);
    Http2::connect(&rig, rig.ports.apns).await;
    assert_eq!(rig.stats().await["providers"]["apns"]["connections"], 3);
}

#[tokio::test]
async fn a_certificate_stands_for_a_token() {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let authority = ca.self_signed(&ca_key).unwrap().pem();
    let client_key = KeyPair::generate().unwrap();
    let client = CertificateParams::new(vec!["org.wikimedia.wikipedia".to_owned()]).unwrap();
    let certificate = client.signed_by(&client_key, &Issuer::new(ca, ca_key)).unwrap().pem();
    let more = "apns_client_ca_file = \"clients.pem\"";
    let rig = Rig::start(more, &[("clients.pem", &authority)]).await;
    let identity = Some((certificate.as_str(), client_key.serialize_pem()));
    let identity = identity.as_ref().map(|(certificate, key)| (*certificate, key.as_str()));
    let mut client = Http2::with_identity(&rig, rig.ports.apns, identity).await.unwrap();
    let device = ("POST", "/3/device/aabb");
    assert_eq!(client.send(device, &[], ALERT).await.unwrap().status, 200);
    client.wait_for_streams(1_000).await;
    let reply = client.send(device, &[("apns-topic", "org.example")], ALERT).await.unwrap();
    assert_eq!(reply.json(), json!({"reason": "TopicDisallowed"}));
    assert_eq!(rig.received("apns").await[0]["authorized_by"], "certificate");
    // Without one a token is needed.
    let mut client = Http2::connect(&rig, rig.ports.apns).await;
    let reply = client.send(device, &[TOPIC], ALERT).await.unwrap();
    assert_eq!(reply.json(), json!({"reason": "MissingProviderToken"}));
}

#[tokio::test]
async fn http_1_is_not_spoken() {
    let rig = Rig::start("", &[]).await;
    let asked = Http1::send(&rig, rig.ports.apns, ("POST", "/3/device/aa"), &[], b"").await;
    assert!(asked.is_err());
}
