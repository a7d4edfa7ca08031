//! The load generator of the benchmarks: HTTP/1.1 at a fixed rate, whatever the server does.
//!
//! `load URL BODY_FILE --connections N --rate R --seconds S [--first K] [--method M] [--header H]`
//!
//! Requests have intended starts on an even schedule, and the latency of each counts from its intended start. A server that stalls is
//! charged for everything that should have been sent meanwhile; a generator that waits for answers would not notice (coordinated omission).
//! Each run of twelve `@` in the request becomes a number of its own, counted from K: equal tokens would collapse. Prints one line of JSON.
//! One thread, requests built beforehand, and a parser that reads just what it needs, because it shares the machine with the server.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

const USAGE: &str = "usage: load http://HOST:PORT/PATH BODY_FILE --connections N --rate R --seconds S [--first K] [--method M] [--header H]";
/// What stands for a number in the body, and how many digits the number has.
const PLACE: &[u8; 12] = b"@@@@@@@@@@@@";
/// An answer that takes longer is an error.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// From the last connection to the first request.
const LEAD: Duration = Duration::from_millis(200);
/// What is later than this at the end of the schedule is not sent any more.
const LATE_MAX: Duration = Duration::from_millis(50);
/// Steps of the histogram in each power of two: percentiles are exact to one in 64.
const STEPS: u64 = 64;

/// What to send, and how fast.
struct Plan {
    address: String,
    request: Vec<u8>,
    /// Where in the request the numbers go.
    places: Vec<usize>,
    connections: usize,
    rate: f64,
    seconds: f64,
    first: u64,
}

/// What came back.
#[derive(Default)]
struct Tally {
    answered: BTreeMap<u16, u64>,
    sent: u64,
    retry_after: u64,
    errors: u64,
    accepted: Histogram,
    refused: Histogram,
}

struct Shared {
    plan: Plan,
    begin: Instant,
    /// The next request of the schedule.
    next: AtomicU64,
    total: u64,
    tally: Mutex<Tally>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let printed = match Plan::read(&arguments) {
        Ok(plan) => run(plan).await,
        Err(what) => Err(what),
    };
    let written = match &printed {
        Ok(line) => writeln!(std::io::stdout(), "{line}"),
        Err(what) => writeln!(std::io::stderr(), "{what}"),
    };
    if printed.is_ok() && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Plan {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let [url, file, options @ ..] = arguments else { return Err(USAGE.to_owned()) };
        let rest = url.strip_prefix("http://").ok_or(USAGE)?;
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let number = |name: &str, default: Option<f64>| -> Result<f64, String> {
            let given = options.iter().position(|option| option == name);
            match given.and_then(|at| options.get(at + 1)) {
                Some(text) => text.parse().map_err(|_| format!("{name} is no number; {USAGE}")),
                None => default.ok_or_else(|| format!("{name} is missing; {USAGE}")),
            }
        };
        let body = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        let texts = |name: &str| {
            let pairs = options.windows(2).filter_map(|pair| match pair {
                [option, text] if option == name => Some(text.as_str()),
                _ => None,
            });
            pairs.collect::<Vec<_>>()
        };
        let method = texts("--method").first().copied().unwrap_or("POST");
        let headers: String =
            texts("--header").iter().flat_map(|header| [*header, "\r\n"]).collect();
        let head = format!(
            "{method} /{path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(&body);
        let places = places(&request);
        Ok(Self {
            address: address.to_owned(),
            request,
            places,
            connections: whole(number("--connections", None)?),
            rate: number("--rate", None)?.max(0.001),
            seconds: number("--seconds", None)?,
            first: whole(number("--first", Some(0.0))?) as u64,
        })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
fn whole(number: f64) -> usize {
    number.max(0.0) as usize
}

/// Where the numbers go: each run of as many marks, one after the other.
fn places(text: &[u8]) -> Vec<usize> {
    let (mut places, mut from) = (Vec::new(), 0);
    while let Some(rest) = text.get(from..)
        && let Some(at) = rest.windows(PLACE.len()).position(|window| window == PLACE)
    {
        places.push(from + at);
        from += at + PLACE.len();
    }
    places
}

/// Writes a number in decimal, with zeros before it.
fn number_into(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

async fn run(plan: Plan) -> Result<Value, String> {
    let mut streams = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        let stream = connect(&plan.address).await;
        streams.push(stream.map_err(|error| format!("cannot connect: {error}"))?);
    }
    let total = whole(plan.rate * plan.seconds) as u64;
    let shared = Arc::new(Shared {
        plan,
        begin: now() + LEAD,
        next: AtomicU64::new(0),
        total,
        tally: Mutex::default(),
    });
    let tasks = TaskTracker::new();
    for stream in streams {
        tasks.spawn(send(Arc::clone(&shared), stream));
    }
    tasks.close();
    tasks.wait().await;
    let seconds = shared.begin.elapsed().as_secs_f64();
    Ok(shared.report(seconds))
}

/// One connection: takes the next request of the schedule, waits for its time, sends it, waits for its answer.
async fn send(shared: Arc<Shared>, mut stream: TcpStream) {
    let Plan { request, places, rate, seconds, first, address, .. } = &shared.plan;
    let (mut request, mut buffer) = (request.clone(), Vec::with_capacity(4_096));
    let end = shared.begin + Duration::from_secs_f64(*seconds) + LATE_MAX;
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= shared.total {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let due = shared.begin + Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        if now() > end {
            return;
        }
        let numbers = first + number * places.len() as u64..;
        for (place, number) in places.iter().zip(numbers) {
            if let Some(place) = request.get_mut(*place..place + PLACE.len()) {
                number_into(place, number);
            }
        }
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, async {
            stream.write_all(&request).await?;
            read(&mut stream, &mut buffer).await
        });
        let answer = answer.await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        let is_usable = answer.as_ref().is_ok_and(|answer| !answer.closes);
        shared.tally.lock().unwrap_or_else(PoisonError::into_inner).count(&answer, due);
        if !is_usable {
            match connect(address).await {
                Ok(new) => stream = new,
                // The server is gone: what this connection would have sent stays unsent.
                Err(_) => return,
            }
        }
    }
}

async fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What is read of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    has_retry_after: bool,
    closes: bool,
    /// Length of head and body.
    bytes: usize,
}

/// Reads one answer to its end.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Answer> {
    buffer.clear();
    let mut answer = None;
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if answer.is_none() {
            answer = Answer::parse(buffer)?;
        }
        if let Some(answer) = answer.take_if(|answer| answer.bytes <= buffer.len()) {
            return Ok(answer);
        }
    }
}

impl Answer {
    /// Nothing while the head is not there as a whole. Bodies must have a length.
    fn parse(text: &[u8]) -> std::io::Result<Option<Self>> {
        let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = text.get(..end).and_then(|head| std::str::from_utf8(head).ok());
        let mut lines = head.unwrap_or_default().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok());
        let mut answer = Self {
            status: status.ok_or_else(|| Error::other("no status"))?,
            has_retry_after: false,
            closes: false,
            bytes: 0,
        };
        let mut length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<usize>().ok();
            } else if name.eq_ignore_ascii_case("retry-after") {
                answer.has_retry_after = true;
            } else if name.eq_ignore_ascii_case("connection") {
                answer.closes = value.trim().eq_ignore_ascii_case("close");
            }
        }
        answer.bytes = end + 4 + length.ok_or_else(|| Error::other("no length"))?;
        Ok(Some(answer))
    }
}

impl Tally {
    fn count(&mut self, answer: &std::io::Result<Answer>, due: Instant) {
        self.sent += 1;
        let Ok(answer) = answer else {
            self.errors += 1;
            return;
        };
        *self.answered.entry(answer.status).or_default() += 1;
        let us = u64::try_from(now().saturating_duration_since(due).as_micros());
        let us = us.unwrap_or(u64::MAX);
        if (200..300).contains(&answer.status) {
            self.accepted.add(us);
        } else {
            self.refused.add(us);
            self.retry_after += u64::from(answer.status == 503 && answer.has_retry_after);
        }
    }
}

impl Shared {
    fn report(&self, seconds: f64) -> Value {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let by_status: Map<String, Value> = tally
            .answered
            .iter()
            .map(|(status, count)| (status.to_string(), (*count).into()))
            .collect();
        json!({
            "offered_per_s": self.plan.rate,
            "seconds": seconds,
            "sent": tally.sent,
            "unsent": self.total.saturating_sub(tally.sent),
            "answered": by_status,
            "accepted": tally.accepted.count,
            "retry_after": tally.retry_after,
            "errors": tally.errors,
            "latency_ms": tally.accepted.report(),
            "refusal_ms": tally.refused.report(),
        })
    }
}

/// Counts of latencies in microseconds, in steps that grow with them.
#[derive(Default)]
struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max_us: u64,
}

impl Histogram {
    fn add(&mut self, us: u64) {
        let place = step_of(us);
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    /// The upper edge of the step that holds this part of all, in milliseconds.
    fn percentile(&self, permille: u64) -> f64 {
        let wanted = (self.count * permille).div_ceil(1_000);
        let mut seen = 0;
        let place = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        to_ms(edge_of(place.unwrap_or_default()).min(self.max_us))
    }

    fn report(&self) -> Value {
        json!({
            "p50": self.percentile(500),
            "p90": self.percentile(900),
            "p99": self.percentile(990),
            "p999": self.percentile(999),
            "max": to_ms(self.max_us),
        })
    }
}

fn step_of(us: u64) -> usize {
    // The highest bits of a number, and how far they are shifted.
    let shift = u64::from((us | 1).ilog2().saturating_sub(STEPS.ilog2()));
    usize::try_from(shift * STEPS + (us >> shift)).unwrap_or(usize::MAX)
}

fn edge_of(step: usize) -> u64 {
    let step = step as u64;
    let shift = (step / STEPS).saturating_sub(1);
    ((step - shift * STEPS + 1) << shift) - 1
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn to_ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::{Answer, Histogram, edge_of, number_into, places, step_of};

    #[test]
    fn each_mark_gets_a_number() {
        let mut text = b"a@@@@@@@@@@@@b@@@@@@@@@@@@@@@@@@@@@@@@".to_vec();
        let found = places(&text);
        assert_eq!(found, [1, 14, 26]);
        number_into(&mut text[1..13], 7_001);
        assert!(text.starts_with(b"a000000007001b@"));
    }

    #[test]
    fn an_answer_is_read_when_its_head_is_there() {
        let text =
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(Answer::parse(&text[..60]).unwrap(), None);
        let answer = Answer::parse(text).unwrap().unwrap();
        assert_eq!((answer.status, answer.has_retry_after), (503, true));
        assert_eq!((answer.bytes, answer.closes), (text.len(), false));
        assert!(Answer::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "no length");
    }

    #[test]
    fn percentiles_are_exact_to_one_in_64() {
        for us in [0, 1, 63, 64, 127, 128, 1_000, 50_000, 123_456_789] {
            let edge = edge_of(step_of(us));
            assert!(us <= edge && edge <= us + us / 64 + 1, "{us} {edge}");
        }
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|us| histogram.add(us * 1_000));
        let p99 = histogram.percentile(990);
        assert!((990.0..1_006.0).contains(&p99), "{p99}");
        assert!((histogram.percentile(1_000) - 1_000.0).abs() < f64::EPSILON);
    }
}
