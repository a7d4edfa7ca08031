//! What every server of a test has in common.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Dir;

/// What a server's own client asks through.
pub(super) fn socket(dir: &Dir) -> String {
    dir.join("socket").display().to_string()
}

/// Makes an empty data folder. `user` is whom the server runs as.
pub(super) fn install(dir: &Dir, user: &str) {
    let data = dir.join("data").display().to_string();
    let installed = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .args([format!("--datadir={data}"), format!("--user={user}")])
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("mariadb-install-db");
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
}

/// The options of a server whose folder this is.
pub(super) fn options(dir: &Dir, (address, port): (&str, u16), user: &str) -> Vec<String> {
    vec![
        "--no-defaults".to_owned(),
        format!("--user={user}"),
        format!("--bind-address={address}"),
        format!("--port={port}"),
        format!("--datadir={}", dir.join("data").display()),
        // At its start it takes away what others of its kind have left there, or have there still.
        format!("--tmpdir={}", dir.path().display()),
        format!("--socket={}", socket(dir)),
        "--innodb-buffer-pool-size=64M".to_owned(),
    ]
}

/// Runs statements as the server's own client does; returns rows as it shows them.
pub(super) fn ask(dir: &Dir, database: &str, sql: &str) -> String {
    let mut client = Command::new("mariadb")
        .args(["--no-defaults", "--user=root", "--batch", "--default-character-set=utf8mb4"])
        .args([format!("--socket={}", socket(dir)), database.to_owned()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mariadb");
    client.stdin.take().expect("its input").write_all(sql.as_bytes()).expect("written");
    let output = client.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lets a server that runs as somebody else have a folder.
pub(super) fn give(path: &Path, user: &str) {
    let given = Command::new("chown").arg("-R").arg(user).arg(path).status().expect("chown");
    assert!(given.success(), "{user} cannot have {}", path.display());
}

/// What makes the database and its user, who comes from somewhere.
pub(super) fn begin(from: &str) -> String {
    let password = super::MariaDb::PASSWORD;
    format!(
        "CREATE DATABASE wiki; CREATE USER wiki@'{from}' IDENTIFIED BY '{password}'; GRANT ALL ON wiki.* TO wiki@'{from}';"
    )
}
