//! The servers under measurement, in release builds, on loopback.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::process::{output, root, run};

/// The programs and a folder for their data.
pub(super) struct Rig {
    pub(super) reveille: PathBuf,
    pub(super) bare: PathBuf,
    folder: PathBuf,
}

/// A running program, ended with it.
pub(super) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Rig {
    pub(super) fn build() -> Result<Self, String> {
        let packages =
            ["build", "--release", "--quiet", "-p", "reveille", "-p", "reveille-testkit"];
        run(Command::new("cargo").args(packages).current_dir(root()))?;
        let release = root().join("target/release");
        let folder = root().join("target/bench");
        Ok(Self { reveille: release.join("reveille"), bare: release.join("bare"), folder })
    }

    /// An empty folder with the sandbox's files, on free ports, with windows of a length.
    pub(super) fn config(&self, window_s: u32) -> Result<Config, String> {
        drop(std::fs::remove_dir_all(&self.folder));
        let init = ["sandbox", "init"];
        output(Command::new(&self.reveille).args(init).arg(&self.folder))?;
        let file = self.folder.join("reveille.toml");
        let mut text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        let (intake, control, fcm) = (free_port()?, free_port()?, free_port()?);
        let (apns, webpush) = (free_port()?, free_port()?);
        text = text.replace("8900", &intake.to_string()).replace("8910", &control.to_string());
        text = text
            .replace("8912", &fcm.to_string())
            .replace("8911", &apns.to_string())
            .replace("8913", &webpush.to_string())
            .replace("window_s = 10", &format!("window_s = {window_s}"));
        // Neither a full outbox nor the quota of Google's is measured here.
        text = text.replace("[push]\n", "[push]\noutbox_wakeups_max = 1000000000\n");
        text = text.replace("[fcm.default]", "[fcm.default]\nper_minute_max = 60000000");
        text.push_str("streams_max = 1000\nreceived_max = 1000000\n");
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        let account = self.folder.join("service-account.json");
        let text = std::fs::read_to_string(&account).map_err(|error| error.to_string())?;
        std::fs::write(&account, text.replace("8912", &fcm.to_string()))
            .map_err(|error| error.to_string())?;
        Ok(Config { file, intake, control, fcm })
    }
}

/// A configuration and its ports.
pub(super) struct Config {
    pub(super) file: PathBuf,
    pub(super) intake: u16,
    pub(super) control: u16,
    pub(super) fcm: u16,
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

/// GET over HTTP/1.1 with curl, which every machine has.
pub(super) fn get(url: &str) -> Result<String, String> {
    output(Command::new("curl").args(["-s", "-f", url]))
}
