//! A server as a process of its own, to be killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Longest time to wait for a line of a log.
const LINE_TIME_MAX: Duration = Duration::from_mins(1);

/// A running process whose log is read.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

impl Server {
    /// Starts `program` with arguments; its standard error is its log.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (tell, count) = watch::channel(0);
        let log = BufReader::new(child.stderr.take().expect("its standard error"));
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push(line);
                tell.send_replace(kept.len());
            }
        });
        Self { child, lines, count }
    }

    /// Waits for a line of the log that holds a text.
    ///
    /// # Panics
    /// If none comes; the log is shown.
    pub async fn wait_for(&mut self, text: &str) {
        let coming = async {
            while !self.log().iter().any(|line| line.contains(text)) {
                if self.count.changed().await.is_err() {
                    return self.log().iter().any(|line| line.contains(text));
                }
            }
            true
        };
        let came = tokio::time::timeout(LINE_TIME_MAX, coming).await;
        assert!(came == Ok(true), "no line holds `{text}`:\n{}", self.log().join("\n"));
    }

    /// The log so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `kill -9`, and waits for the end.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// SIGTERM, and waits for the end. Returns the exit code.
    ///
    /// # Panics
    /// If it cannot be asked.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        assert!(asked.success());
        self.child.wait().expect("ended").code()
    }

    /// Resident memory, in KiB.
    ///
    /// # Panics
    /// If the system does not tell.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
