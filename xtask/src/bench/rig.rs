//! The servers under measurement, in release builds, on loopback.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::http::{Client, metric};
use crate::process::{output, root, run};

/// The programs and a folder for their data.
pub(super) struct Rig {
    pub(super) reveille: PathBuf,
    pub(super) bare: PathBuf,
    pub(super) load: PathBuf,
    pub(super) ready: PathBuf,
    folder: PathBuf,
}

/// A running program, ended with it.
pub(super) struct Running(Child);

impl Running {
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Memory in RAM, in MiB: now, and the most there ever was.
    pub(super) fn memory(&self) -> Result<(f64, f64), String> {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let mib = |name: &str| -> Option<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
        };
        Some((mib("VmRSS:").unwrap_or_default(), mib("VmHWM:").unwrap_or_default()))
            .filter(|(now, _)| *now > 0.0)
            .ok_or_else(|| format!("{path} says nothing of memory"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL: whatever is measured must survive it.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Rig {
    pub(super) fn build() -> Result<Self, String> {
        let packages =
            ["build", "--release", "--quiet", "-p", "reveille", "-p", "reveille-testkit"];
        run(Command::new("cargo").args(packages).current_dir(root()))?;
        Ok(Self::of(&root().join("target/release")))
    }

    /// The programs of a folder.
    pub(super) fn of(programs: &Path) -> Self {
        let [reveille, bare, load, ready] =
            ["reveille", "bare", "load", "ready"].map(|name| programs.join(name));
        Self { reveille, bare, load, ready, folder: root().join("target/bench") }
    }

    /// An empty folder with the sandbox's files, on free ports, with windows of a length.
    pub(super) fn config(&self, window_s: u32, more: &More) -> Result<Config, String> {
        drop(std::fs::remove_dir_all(&self.folder));
        let init = ["sandbox", "init"];
        output(Command::new(&self.reveille).args(init).arg(&self.folder))?;
        let file = self.folder.join("reveille.toml");
        let mut text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let mut ports = [8900, 8901, 8910, 8911, 8912, 8913];
        for port in &mut ports {
            let free = free_port()?;
            // Marked first: a port may be a part of another one.
            text = text.replace(&format!(":{port}"), &format!(":<{free}>"));
            *port = free;
        }
        text = text.replace(":<", ":").replace('>', "");
        let [intake, public, control, apns, fcm, webpush] = ports;
        let More { push: of_push, fcm: of_fcm, received_max } = *more;
        // No quota of a provider is measured here.
        let fast = "per_minute_max = 60000000";
        let of_fcm = if of_fcm.is_empty() { fast } else { of_fcm };
        let of_push = if of_push.is_empty() { "outbox_wakeups_max = 1000000000" } else { of_push };
        let browsers =
            format!("{fast}\nper_host_in_flight_max = 500\nper_host_per_minute_max = 60000000");
        for (section, more) in [
            ("[push]", of_push),
            ("[apns.wikipedia]", fast),
            ("[fcm.default]", of_fcm),
            ("[webpush]", &browsers),
        ] {
            text = text.replace(&format!("{section}\n"), &format!("{section}\n{more}\n"));
        }
        // Users are told by a header, and none is told to come again later.
        let told = "mode = \"header\"\nheader = \"X-User\"\npeers = [\"127.0.0.1\"]\nanonymous";
        text = text.replace("anonymous", told);
        let rates =
            "user_requests_per_minute_max = 60000000\naddress_requests_per_minute_max = 60000000";
        text = text.replace("\norigins = ", &format!("\n{rates}\norigins = "));
        text = text.replace("window_s = 10", &format!("window_s = {window_s}"));
        let received_max = if received_max == 0 { 1_000 } else { received_max };
        text = [text, format!("streams_max = 1000\nreceived_max = {received_max}\n")].concat();
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        let account = self.folder.join("service-account.json");
        let text = std::fs::read_to_string(&account).map_err(|error| error.to_string())?;
        std::fs::write(&account, text.replace("8912", &fcm.to_string()))
            .map_err(|error| error.to_string())?;
        Ok(Config { file, intake, public, control, apns, fcm, webpush, window_s })
    }

    pub(super) fn sandbox(&self, config: &Config) -> Result<Running, String> {
        let file = config.file.to_string_lossy();
        start(&self.reveille, &["sandbox", "--config", &file], "the sandbox is listening")
    }

    pub(super) fn push(&self, config: &Config) -> Result<Running, String> {
        let file = config.file.to_string_lossy();
        start(&self.reveille, &["push", "--config", &file], "the push server is listening")
    }
}

/// What differs from the sandbox's configuration.
#[derive(Debug, Default)]
pub(super) struct More<'a> {
    /// Lines of `[push]`.
    pub(super) push: &'a str,
    /// Lines of `[fcm.default]`.
    pub(super) fcm: &'a str,
    /// How many pushes the sandbox remembers; nothing stands for few, so that its memory does not count.
    pub(super) received_max: usize,
}

/// A configuration and its ports.
pub(super) struct Config {
    pub(super) file: PathBuf,
    pub(super) intake: u16,
    pub(super) public: u16,
    pub(super) control: u16,
    pub(super) apns: u16,
    pub(super) fcm: u16,
    pub(super) webpush: u16,
    window_s: u32,
}

/// A provider, by its word in routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    Apns,
    Fcm,
    WebPush,
}

impl Provider {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::Fcm => "fcm",
            Self::WebPush => "webpush",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apns => "APNs",
            Self::Fcm => "FCM",
            Self::WebPush => "Web Push",
        }
    }

    fn tokens_per_request(self) -> usize {
        if self == Self::WebPush { 1_000 } else { 5_000 }
    }
}

impl Config {
    pub(super) fn metrics(&self) -> Result<String, String> {
        Client::new(self.intake).get("/metrics")
    }

    /// Posts wake-ups for so many devices, all of them in one window, and returns when that has ended. Numbered from `first`.
    pub(super) fn fill(
        &self,
        provider: Provider,
        (first, count): (usize, usize),
    ) -> Result<(), String> {
        let (control, intake) = (Client::new(self.control), Client::new(self.intake));
        let mut bodies = Vec::new();
        let numbers: Vec<usize> = (first..first + count).collect();
        let path = format!("/v1/message/{}", provider.word());
        let body = |some: &[usize], control: &Client| -> Result<String, String> {
            let tokens = some.iter().map(|number| match provider {
                Provider::Apns => Ok(format!("\"{number:064x}\"")),
                Provider::Fcm => Ok(format!("\"token-{number:0>150}\"")),
                Provider::WebPush => browser(control, *number),
            });
            let tokens = tokens.collect::<Result<Vec<_>, _>>()?.join(",");
            let topic = match provider {
                Provider::Apns => ",\"topic\":\"org.wikimedia.wikipedia\"",
                _ => "",
            };
            Ok(format!("{{\"messageType\":\"checkEchoV1\",\"deviceTokens\":[{tokens}]{topic}}}"))
        };
        // Browsers take a while to make.
        if provider == Provider::WebPush {
            for some in numbers.chunks(provider.tokens_per_request()) {
                bodies.push(body(some, &control)?);
            }
        }
        let window = f64::from(self.window_s);
        let into = seconds_of_clock() % window;
        sleep(window - into + 0.1);
        let ends = now() + Duration::from_secs_f64(window - seconds_of_clock() % window);
        for (at, some) in numbers.chunks(provider.tokens_per_request()).enumerate() {
            match bodies.get(at) {
                Some(body) => intake.post(&path, body)?,
                None => intake.post(&path, &body(some, &control)?)?,
            };
        }
        let left = ends.saturating_duration_since(now());
        if left.is_zero() {
            return Err(format!("{count} wake-ups did not fit into a window of {window} s"));
        }
        sleep(left.as_secs_f64());
        Ok(())
    }

    /// Waits until `/metrics` says something. Returns what it says then.
    pub(super) fn wait_for(
        &self,
        what: &str,
        time_max: Duration,
        is_so: impl Fn(&str) -> bool,
    ) -> Result<String, String> {
        let (begun, client) = (now(), Client::new(self.intake));
        loop {
            let metrics = client.get("/metrics")?;
            if is_so(&metrics) {
                return Ok(metrics);
            }
            if begun.elapsed() > time_max {
                return Err(format!("{what}: not within {} s", time_max.as_secs()));
            }
            sleep(0.02);
        }
    }
}

/// What one browser of the sandbox gives to a site.
pub(super) fn browser(control: &Client, name: usize) -> Result<String, String> {
    let asked = format!("{{\"token\":\"browser-{name}\",\"style\":\"mozilla\"}}");
    control.post("/subscriptions", &asked)
}

/// Wake-ups whose providers took them, as the ledger on disk counts them.
pub(super) fn sent(metrics: &str) -> f64 {
    metric(metrics, "reveille_ledger_wakeups{state=\"sent\"}")
}

/// Starts a program and waits for a line of its log.
pub(super) fn start(program: &Path, arguments: &[&str], line: &str) -> Result<Running, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child =
        command.spawn().map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let log = child.stderr.take().ok_or("no log")?;
    let running = Running(child);
    let mut lines = BufReader::new(log).lines();
    for each in lines.by_ref() {
        let each = each.map_err(|error| error.to_string())?;
        if each.contains(line) {
            // Read on, so that the program never waits for us.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(running);
        }
    }
    Err(format!("{} ended early", program.display()))
}

/// A port nobody listens at now.
pub(super) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// Requests a second, from what `h2load` prints.
pub(super) fn h2load(arguments: &[&str]) -> Result<f64, String> {
    let printed = output(Command::new("h2load").args(arguments))?;
    let failed = printed.lines().find(|line| line.starts_with("requests:")).unwrap_or_default();
    if !failed.contains(" 0 failed") || !failed.contains(" 0 errored") {
        return Err(format!("some requests failed: {failed}"));
    }
    let status = printed.lines().find(|line| line.starts_with("status codes:")).unwrap_or_default();
    if !status.contains(" 0 4xx, 0 5xx") {
        return Err(format!("some requests were refused: {status}"));
    }
    let line = printed.lines().find(|line| line.starts_with("finished in")).unwrap_or_default();
    let rate = line.split(", ").nth(1).and_then(|part| part.split_whitespace().next());
    rate.and_then(|rate| rate.parse().ok())
        .ok_or_else(|| format!("h2load prints no rate: {printed}"))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Windows end on a grid that counts from the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
pub(super) fn seconds_of_clock() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

pub(super) fn sleep(seconds: f64) {
    let until = now() + Duration::from_secs_f64(seconds.max(0.0));
    // A thread may wake up early.
    while let Some(left) = until.checked_duration_since(now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
