//! For the benchmark of the store on `MariaDB`: wake-ups are accepted, their window ends, and then it is timed how fast they are claimed and settled.
//!
//! `waking URL PASSWORD KEY_FILE WAKEUPS WORKERS` prints wake-ups a second, then of each wake-up: the bytes it takes gathered, the bytes it takes
//! waiting, and the bytes of the server's log it costs from its acceptance to its end.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use reveille_model::{
    CredentialSet, DryRun, Duration, LeaseId, MessageType, Provider, Settled, Shuffle, Timestamp,
    Token,
};
use reveille_store::{
    Acceptance, Claim, End, Item, Outbox as _, SettleBatch, Settlement, TokenMessage,
};
use reveille_store_mariadb::{MariaDbSettings, MariaDbStore};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, Row as _};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// As many as a delivery worker claims at a time, and a settler settles.
const BATCH: usize = 1_024;
const PER_REQUEST: u64 = 5_000;
const END: Timestamp = Timestamp::from_ms(2_000_000_000);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, password, key_file, wakeups, workers] = words.as_slice() else {
        return Err("usage: waking URL PASSWORD KEY_FILE WAKEUPS WORKERS".into());
    };
    let mut settings = MariaDbSettings::new(url.clone(), key_file.into());
    settings.password = Some(password.clone());
    settings.clock_skew_max = None;
    MariaDbStore::migrate(&settings).await?;
    let store = Arc::new(MariaDbStore::open(settings, Timestamp::from_ms(1_000_000)).await?);
    let wakeups: u64 = wakeups.parse()?;
    let mut looking = look(url, password).await?;
    let log_before = log_written(&mut looking).await?;
    gather(&store, wakeups).await?;
    let gathered = size(&mut looking, "gathered").await?;
    end_window(&store).await?;
    let waiting = size(&mut looking, "wakeups").await?;
    let (begun, settled, mut running) = (now(), Arc::new(AtomicU64::new(0)), JoinSet::new());
    for worker in 0..workers.parse()? {
        let (store, settled) = (Arc::clone(&store), Arc::clone(&settled));
        running.spawn(async move { work(&store, worker, (&settled, wakeups)).await });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let ledger = store.depth().await?.ledger;
    if !ledger.fits() || ledger.settled(Settled::Sent) != wakeups {
        return Err(format!("not all were settled: {ledger:?}").into());
    }
    let log = log_written(&mut looking).await? - log_before;
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    let (rate, each) = (wakeups as f64 / seconds, |bytes: u64| bytes as f64 / wakeups as f64);
    let (gathered, waiting, log) = (each(gathered), each(waiting), each(log));
    writeln!(std::io::stdout(), "{rate} {gathered:.0} {waiting:.0} {log:.0}")?;
    Ok(())
}

fn set() -> Result<CredentialSet, Failure> {
    Ok(CredentialSet::new(Provider::Fcm, "default")?)
}

async fn look(url: &str, password: &str) -> Result<MySqlConnection, Failure> {
    let options: MySqlConnectOptions = url.parse()?;
    Ok(MySqlConnection::connect_with(&options.password(password)).await?)
}

/// What the server has written to its log since it started.
async fn log_written(connection: &mut MySqlConnection) -> Result<u64, Failure> {
    let row = sqlx::raw_sql("SHOW GLOBAL STATUS LIKE 'Innodb_os_log_written'");
    let row = row.fetch_one(connection).await?;
    Ok(row.try_get_unchecked::<String, _>(1)?.parse()?)
}

/// How large a table is with its indexes.
async fn size(connection: &mut MySqlConnection, table: &str) -> Result<u64, Failure> {
    let sql = format!(
        "ANALYZE TABLE {table}; SELECT CAST(data_length + index_length AS CHAR) FROM information_schema.tables
         WHERE table_schema = DATABASE() AND table_name = '{table}'"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
    let last = rows.last().ok_or("no such table")?;
    Ok(last.try_get_unchecked::<String, _>(0)?.parse()?)
}

async fn gather(store: &MariaDbStore, wakeups: u64) -> Result<(), Failure> {
    for first in (0..wakeups).step_by(usize::try_from(PER_REQUEST)?) {
        let numbers = first..(first + PER_REQUEST).min(wakeups);
        let token = |number| Token::parse(Provider::Fcm, &format!("token-{number:0>150}"));
        let message = TokenMessage {
            set: set()?,
            topic: None,
            message_type: MessageType::parse("checkEchoV1")?,
            ttl: Duration::from_s(3_600),
            dry_run: DryRun::No,
            tokens: numbers.map(token).collect::<Result<_, _>>()?,
            unusable: 0,
        };
        let items = vec![Item::Tokens(message)];
        let now = END.minus(Duration::from_s(1));
        let acceptance =
            Acceptance { now, window_end: END, waiting_max: u64::MAX, idempotency: None, items };
        store.accept(acceptance).await?;
    }
    Ok(())
}

async fn end_window(store: &MariaDbStore) -> Result<(), Failure> {
    store.close(END).await?;
    let mut seed = 0;
    while !store.expand(END, Shuffle::from_seed([seed; 32])).await?.is_done() {
        seed = seed.wrapping_add(1);
    }
    Ok(())
}

/// Claims and settles until all are.
async fn work(
    store: &MariaDbStore,
    worker: u64,
    (settled, wakeups): (&AtomicU64, u64),
) -> Result<(), Failure> {
    let mut lease = worker << 32;
    while settled.load(Ordering::Relaxed) < wakeups {
        lease += 1;
        let claim = Claim {
            set: set()?,
            now: END,
            lease: LeaseId::from_random(lease),
            lease_until: END.plus(Duration::from_s(120)),
            limit: BATCH,
            hold: Duration::from_s(3_600),
        };
        let claimed = store.claim(claim).await?;
        if claimed.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        let count = claimed.len() as u64;
        let settlements = claimed.into_iter().map(|each| Settlement {
            id: each.id,
            lease: each.lease,
            device: each.device,
            end: End::Settled(Settled::Sent),
            strike: None,
        });
        let batch = SettleBatch {
            settlements: settlements.collect(),
            now: END,
            hold: Duration::from_s(3_600),
            tell: Vec::new(),
        };
        let report = store.settle(batch).await?;
        settled.fetch_add(count - report.lost, Ordering::Relaxed);
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}
