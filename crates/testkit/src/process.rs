//! A server as a process of its own, to be killed.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Longest time to wait for a line of a log, or for its end. Four nodes of Cassandra start at once.
const LINE_TIME_MAX: Duration = Duration::from_mins(2);

/// A running process whose log is read.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<usize>,
}

/// Keeps each line a process says, as long as it says any.
fn keep(
    from: impl Read + Send + 'static,
    lines: &Arc<Mutex<Vec<String>>>,
    tell: &Arc<watch::Sender<usize>>,
) {
    let (lines, tell) = (Arc::clone(lines), Arc::clone(tell));
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut kept = lines.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(line);
            tell.send_replace(kept.len());
        }
    });
}

impl Server {
    /// Starts `program` with arguments; what it says, on standard output or error, is its log.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        Self::start_with(program, arguments, &[])
    }

    /// The same, with more in its environment.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_with(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.envs(environment.iter().copied());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (tell, count) = watch::channel(0);
        let tell = Arc::new(tell);
        keep(child.stderr.take().expect("its standard error"), &lines, &tell);
        keep(child.stdout.take().expect("its standard output"), &lines, &tell);
        Self { child, lines, count }
    }

    /// Waits for a line of the log that holds a text.
    ///
    /// # Panics
    /// If none comes; the log is shown.
    pub async fn wait_for(&mut self, text: &str) {
        self.wait_for_after(0, text).await;
    }

    /// The same, of the lines after so many.
    ///
    /// # Panics
    /// If none comes; the log is shown.
    pub async fn wait_for_after(&mut self, skipped: usize, text: &str) {
        let coming = async {
            while self.find_after(skipped, text).is_none() {
                if self.count.changed().await.is_err() {
                    return self.find_after(skipped, text).is_some();
                }
            }
            true
        };
        let came = tokio::time::timeout(LINE_TIME_MAX, coming).await;
        assert!(came == Ok(true), "no line holds `{text}`:\n{}", self.log().join("\n"));
    }

    /// Where the log holds a text, after so many lines: how many lines there are before it.
    pub fn find_after(&self, skipped: usize, text: &str) -> Option<usize> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lines.iter().skip(skipped).position(|line| line.contains(text));
        found.map(|position| skipped + position)
    }

    /// How many lines the log has so far.
    pub fn line_count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits for the end of a process that ends by itself or was asked to. Returns the exit code.
    ///
    /// # Panics
    /// If it does not end; the log is shown.
    pub async fn wait_for_end(&mut self) -> Option<i32> {
        let end = async { while self.count.changed().await.is_ok() {} };
        let came = tokio::time::timeout(LINE_TIME_MAX, end).await;
        assert!(came.is_ok(), "it did not end:\n{}", self.log().join("\n"));
        self.child.wait().expect("ended").code()
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
        self.signal("TERM");
        self.child.wait().expect("ended").code()
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill");
        assert!(sent.success(), "{name} cannot be sent");
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
