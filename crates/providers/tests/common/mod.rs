//! Peers in Python: a script says on its first line how to reach it, and at the end of its input what it thinks of us.

use std::ffi::OsString;
use std::process::Stdio;

use reveille_testkit::{needs_all, python};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// A peer that runs. It ends with the test.
pub(crate) struct Peer {
    child: Child,
    out: BufReader<ChildStdout>,
    /// Its first line.
    pub(crate) hello: String,
}

/// Starts a script of this folder; nothing where there is no Python with its packages, which is said.
pub(crate) async fn start(
    script: &str,
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Option<Peer> {
    let Some(python) = python() else {
        println!("{}", needs_all("the independent peers in Python"));
        return None;
    };
    let mut child = Command::new(python)
        .arg(format!("{}/tests/{script}", env!("CARGO_MANIFEST_DIR")))
        .args(arguments.into_iter().map(Into::into))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut hello = String::new();
    out.read_line(&mut hello).await.unwrap();
    Some(Peer { child, out, hello: hello.trim().to_owned() })
}

/// Ends its input and reads its report, which must hold no complaints.
pub(crate) async fn report(mut peer: Peer) -> serde_json::Value {
    drop(peer.child.stdin.take());
    let mut report = String::new();
    peer.out.read_to_string(&mut report).await.unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).expect("a report");
    assert_eq!(report["complaints"], serde_json::json!([]), "{report}");
    report
}
