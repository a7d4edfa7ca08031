//! Where we never send (providers.md §3.8): by the endpoint's text, and by what its name leads to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;

use reveille_model::{Delay, Duration, Outcome, Strike, Verdict};
use reveille_providers::Sender as _;
use reveille_providers::webpush::{
    Guard, GuardMode, Refusal, Target, TargetError, WebPushConfig, WebPushSender,
};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::rig::{GOOGLE, Names, OWN, Rig, push};
use super::server::{read, within_time};

/// A sender for whom names lead where the test says.
fn sender(rig: &Rig, guard: Guard, names: &Arc<Names>) -> WebPushSender {
    let config = WebPushConfig { guard: Arc::new(guard), ..rig.config(vec![rig.key()]) };
    WebPushSender::with_lookup(config, rig.now(), Arc::<Names>::clone(names)).unwrap()
}

fn everywhere() -> Guard {
    Guard { mode: GuardMode::Public, ..Guard::default() }
}

/// A subscription that is in the store already, whatever its endpoint: the guard may have become stricter since.
fn stored(rig: &Rig, endpoint: &str) -> reveille_providers::Push {
    let json = rig.subscription((OWN, "up"), "b");
    let target = Target::from_json(&json, &rig.guard).unwrap();
    push(&Target { endpoint: Url::parse(endpoint).unwrap(), ..target }, rig.now()())
}

/// Later, and after a week of it the subscription looks dead.
fn nowhere(reason: &'static str) -> Verdict {
    let strike = Strike { count_min: 2, age_min: Duration::from_s(7 * 86_400) };
    Verdict::new(Outcome::RetryMessage(Delay::Unreachable), reason).for_scope().with_strike(strike)
}

/// Where a push would arrive if it were let through; nothing where this user may not listen at 443.
fn trap(address: &str) -> Option<TcpListener> {
    let listener = TcpListener::bind((address, 443)).ok()?;
    listener.set_nonblocking(true).unwrap();
    Some(listener)
}

fn assert_untouched(trap: Option<&TcpListener>) {
    if let Some(trap) = trap {
        assert_eq!(trap.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody came");
    }
}

#[tokio::test]
async fn an_endpoint_that_its_text_betrays_is_neither_registered_nor_sent_to() {
    let rig = Rig::start("").await;
    let names = Arc::new(Names::of([Ok(vec![Ipv4Addr::LOCALHOST.into()])]));
    let rows = [
        ("http://fcm.googleapis.com/wp/1", Refusal::Scheme),
        ("ftp://fcm.googleapis.com/wp/1", Refusal::Scheme),
        ("file:///etc/passwd", Refusal::Scheme),
        ("https://fcm.googleapis.com:8443/wp/1", Refusal::Port),
        ("https://fcm.googleapis.com:22/wp/1", Refusal::Port),
        ("https://u:p@fcm.googleapis.com/wp/1", Refusal::Parts),
        ("https://fcm.googleapis.com@127.0.0.1/", Refusal::Parts),
        ("https://fcm.googleapis.com/wp/1#x", Refusal::Parts),
        ("https://127.0.0.1/", Refusal::Literal),
        ("https://10.0.0.1/", Refusal::Literal),
        ("https://192.168.1.1/", Refusal::Literal),
        ("https://169.254.169.254/latest/meta-data", Refusal::Literal),
        ("https://2130706433/", Refusal::Literal),
        ("https://017700000001/", Refusal::Literal),
        ("https://0177.0.0.1/", Refusal::Literal),
        ("https://0x7f.1/", Refusal::Literal),
        ("https://0x7f000001/", Refusal::Literal),
        ("https://127.1/", Refusal::Literal),
        ("https://0/", Refusal::Literal),
        ("https://①②⑦.⓪.⓪.①/", Refusal::Literal),
        ("https://8.8.8.8/", Refusal::Literal),
        ("https://[::1]/", Refusal::Literal),
        ("https://[::]/", Refusal::Literal),
        ("https://[::ffff:127.0.0.1]/", Refusal::Literal),
        ("https://[::ffff:a9fe:a9fe]/", Refusal::Literal),
        ("https://[fe80::1]/", Refusal::Literal),
        ("https://[fd00::1]/", Refusal::Literal),
        ("https://localhost/", Refusal::Host),
        ("https://metadata/", Refusal::Host),
        ("https://metadata./computeMetadata/v1/", Refusal::Host),
    ];
    for guard in [Guard::default(), everywhere()] {
        for (endpoint, refusal) in rows {
            let mut json = rig.subscription((OWN, "up"), "b");
            json["endpoint"] = json!(endpoint);
            let registered = Target::from_json(&json, &guard).unwrap_err();
            assert_eq!(registered, TargetError::Endpoint(refusal), "{endpoint}");
            let sent = sender(&rig, guard.clone(), &names).send(&stored(&rig, endpoint)).await;
            assert_eq!(sent, nowhere("refused_host"), "{endpoint}");
        }
    }
    // Known services only, unless an operator opens it for `UnifiedPush`.
    for host in ["push.example.org", "fcm.googleapis.com.evil.example", "evilpush.apple.com"] {
        let push = stored(&rig, &format!("https://{host}/up/b"));
        let sent = sender(&rig, Guard::default(), &names).send(&push).await;
        assert_eq!(sent, nowhere("refused_host"), "{host}");
    }
    assert_eq!(names.asked(), 0, "no name was even looked up");
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to() {
    let rig = Rig::start("").await;
    let rows: [&[&str]; 20] = [
        &["127.0.0.1"],
        &["127.77.0.1"],
        &["0.0.0.0"],
        &["10.0.0.1"],
        &["172.16.0.1"],
        &["192.168.0.1"],
        &["100.64.0.1"],
        &["169.254.169.254"],
        &["198.18.0.1"],
        &["224.0.0.1"],
        &["255.255.255.255"],
        &["::1"],
        &["fe80::1"],
        &["fd00:ec2::254"],
        &["::ffff:127.0.0.1"],
        &["::ffff:169.254.169.254"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::"],
        // One is enough, wherever it stands.
        &["2d00::1", "127.77.0.1"],
        &["127.77.0.1", "2d00::1"],
    ];
    let trap = trap("127.77.0.1");
    for addresses in rows {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let names = Arc::new(Names::of([Ok(addresses.clone())]));
        // Also where the name is one of a known service.
        for (guard, host) in [(everywhere(), OWN), (Guard::default(), GOOGLE)] {
            let push = stored(&rig, &format!("https://{host}/up/b"));
            let verdict = sender(&rig, guard, &names).send(&push).await;
            assert_eq!(verdict, nowhere("refused_host"), "{addresses:?}");
        }
        assert_eq!(names.asked(), 2, "looked up once for each push");
    }
    assert_untouched(trap.as_ref());
}

#[tokio::test]
async fn a_name_that_changes_its_address_between_two_looks_gains_nothing() {
    let rig = Rig::start("").await;
    // Of the public internet as far as anybody knows, and given to nobody: nothing answers there.
    let public: IpAddr = "2d00::1".parse().unwrap();
    let inside: IpAddr = "127.77.0.2".parse().unwrap();
    let trap = trap("127.77.0.2");
    let names = Arc::new(Names::of([Ok(vec![public]), Ok(vec![inside])]));
    let sender = sender(&rig, everywhere(), &names);
    let push = stored(&rig, "https://rebind.example.org/up/b");
    let first = sender.send(&push).await;
    let unreachable = (Outcome::RetryMessage(Delay::Unreachable), "unreachable");
    assert_eq!((first.outcome, first.reason.0), unreachable);
    assert_eq!(first.strike, None, "an address that does not answer may do so tomorrow");
    assert_eq!(names.asked(), 1, "what was looked at is what was connected to");
    assert_eq!(sender.send(&push).await, nowhere("refused_host"));
    assert_eq!(names.asked(), 2);
    assert_untouched(trap.as_ref());
}

#[tokio::test]
async fn a_name_that_does_not_exist_counts_against_the_browser_and_trouble_does_not() {
    let rig = Rig::start("").await;
    let trouble = Verdict::new(Outcome::RetryMessage(Delay::Unreachable), "unreachable");
    let rows = [
        (Err(io::Error::other("Name or service not known")), nowhere("unknown_host")),
        (Err(io::Error::from(io::ErrorKind::NotFound)), nowhere("unknown_host")),
        (Ok(Vec::new()), nowhere("unknown_host")),
        (Err(io::Error::other("Temporary failure in name resolution")), trouble.for_scope()),
    ];
    for (says, expected) in rows {
        let names = Arc::new(Names::of([says]));
        let push = stored(&rig, "https://gone.example.org/up/b");
        assert_eq!(sender(&rig, everywhere(), &names).send(&push).await, expected);
    }
}

#[tokio::test]
async fn only_the_origin_an_operator_trusts_may_be_inside() {
    let rig = Rig::start("").await;
    let names = Arc::new(Names::of([Ok(vec![Ipv4Addr::LOCALHOST.into()])]));
    let trusted = sender(&rig, rig.guard.clone(), &names);
    assert_eq!(trusted.send(&rig.push((OWN, "up"), "b")).await.outcome, Outcome::Accepted);
    assert_eq!(names.asked(), 1);
    // The same sandbox for one who was not told.
    let strict = sender(&rig, everywhere(), &names);
    assert_eq!(strict.send(&rig.push((OWN, "up"), "b")).await, nowhere("refused_host"));
    assert_eq!(rig.stats().await["received"], 1);
}

#[tokio::test]
async fn through_a_proxy_the_proxy_looks_names_up() {
    let rig = Rig::start("").await;
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}", proxy.local_addr().unwrap().port());
    let guard = Arc::new(Guard::default());
    let config = WebPushConfig { proxy: Some(url), guard, ..rig.config(vec![rig.key()]) };
    let names = Arc::new(Names::of([Ok(vec![Ipv4Addr::LOCALHOST.into()])]));
    let sender =
        WebPushSender::with_lookup(config, rig.now(), Arc::<Names>::clone(&names)).unwrap();
    let push = stored(&rig, "https://fcm.googleapis.com/wp/b");
    let refuse = async {
        let (mut stream, _) = proxy.accept().await.unwrap();
        let (head, _) = read(&mut stream).await;
        stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await.unwrap();
        head
    };
    let (verdict, head) = tokio::join!(sender.send(&push), within_time(refuse));
    let expected = (Outcome::RetryMessage(Delay::Unreachable), "unreachable");
    assert_eq!((verdict.outcome, verdict.reason.0), expected);
    assert!(head.starts_with("CONNECT fcm.googleapis.com:443 HTTP/1.1\r\n"), "{head}");
    assert_eq!(names.asked(), 0);
}
