//! An answer of the database is lost after it has done what it was asked.
#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reveille_model::{
    CredentialSet, DryRun, Duration, LeaseId, MessageType, Provider, Shuffle, Timestamp, Token,
};
use reveille_store::{Acceptance, Claim, Item, Outbox, TokenMessage};
use reveille_store_mariadb::{MariaDbSettings, MariaDbStore};
use reveille_testkit::{Dir, MariaDb, needs_all};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const NOW: Timestamp = Timestamp::from_ms(1_000_000);

/// Stands between a client and a server, and hands on what both say.
struct Between {
    port: u16,
    /// The next answer to a commit is lost, and its connection with it.
    loses: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Between {
    async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let loses = Arc::new(AtomicBool::new(false));
        let inner = Arc::clone(&loses);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                connections.spawn(hand_on(client, server, Arc::clone(&inner)));
            }
        });
        Self { port, loses, _task: task }
    }
}

async fn hand_on(mut client: TcpStream, mut server: TcpStream, loses: Arc<AtomicBool>) {
    let (mut said, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut said) => {
                let Ok(length @ 1..) = read else { return };
                server.write_all(&said[..length]).await.unwrap();
                if said[..length].ends_with(b"COMMIT") && loses.swap(false, Ordering::Relaxed) {
                    // Once it answers it has done it.
                    assert!(server.read(&mut answered).await.unwrap() > 0);
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                client.write_all(&answered[..length]).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_claim_holds_is_due_again_at_once() {
    let Some(server) = MariaDb::start().await else {
        println!("{}", needs_all("lost answers of a real MariaDB"));
        return;
    };
    let url = server.create("lost");
    let port = url.rsplit([':', '/']).nth(1).unwrap();
    let between = Between::start(port.parse().unwrap()).await;
    let dir = Dir::new();
    let url = url.replace(port, &between.port.to_string());
    let mut settings = MariaDbSettings::new(url, dir.join("reveille.key"));
    settings.password = Some(MariaDb::PASSWORD.to_owned());
    settings.clock_skew_max = None;
    MariaDbStore::migrate(&settings).await.unwrap();
    let store = MariaDbStore::open(settings, NOW).await.unwrap();
    let set = CredentialSet::new(Provider::Fcm, "default").unwrap();
    let message = TokenMessage {
        set: set.clone(),
        topic: None,
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        ttl: Duration::from_s(3_600),
        dry_run: DryRun::No,
        tokens: ["a", "b", "c"].map(|text| Token::parse(Provider::Fcm, text).unwrap()).into(),
        unusable: 0,
    };
    let acceptance = Acceptance {
        now: NOW,
        window_end: NOW.plus(Duration::from_s(1)),
        waiting_max: 10,
        idempotency: None,
        items: vec![Item::Tokens(message)],
    };
    store.accept(acceptance).await.unwrap();
    let now = NOW.plus(Duration::from_s(2));
    Outbox::close(&store, now).await.unwrap();
    while !store.expand(now, Shuffle::from_seed([1; 32])).await.unwrap().is_done() {}
    let claim = |number: u64| Claim {
        set: set.clone(),
        now,
        lease: LeaseId::from_random(number << 32),
        lease_until: now.plus(Duration::from_s(120)),
        limit: 10,
        hold: Duration::from_s(100),
    };
    between.loses.store(true, Ordering::Relaxed);
    assert!(store.claim(claim(1)).await.is_err());
    let held = "SELECT COUNT(*) FROM lost.wakeups WHERE lease <> 0;";
    assert!(server.run(held).contains('3'), "the database has written it");
    assert_eq!(store.claim(claim(2)).await.unwrap().len(), 3);
    assert_eq!(store.claim(claim(3)).await.unwrap().len(), 0, "they are held now");
}
