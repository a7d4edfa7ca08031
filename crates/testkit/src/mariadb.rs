//! A real `MariaDB`, on a folder and port of its own.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::environment::mariadb;
use crate::{Dir, Server, free_port};

/// A running server with an empty database `wiki`, and a user `wiki` of it whose password is `secret@/:`.
#[derive(Debug)]
pub struct MariaDb {
    dir: Dir,
    port: u16,
    _server: Server,
}

impl MariaDb {
    /// The password of its user.
    pub const PASSWORD: &str = "secret@/:";

    /// Starts one, where it is installed.
    ///
    /// # Panics
    /// If it is installed and cannot be started.
    pub async fn start() -> Option<Self> {
        let program = mariadb()?;
        let (dir, port) = (Dir::new(), free_port());
        let data = dir.join("data").display().to_string();
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .args([format!("--datadir={data}"), "--user=root".to_owned()])
            .env("TMPDIR", dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("mariadb-install-db");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let (socket, port_of) = (format!("--socket={}", socket(&dir)), format!("--port={port}"));
        let data = format!("--datadir={data}");
        // At its start it takes away what others of its kind have left there, or have there still.
        let temporary = format!("--tmpdir={}", dir.path().display());
        let arguments = [
            "--no-defaults",
            "--user=root",
            "--bind-address=127.0.0.1",
            "--innodb-buffer-pool-size=32M",
            // Wikis write UTC, wherever their database is.
            "--default-time-zone=+05:00",
            &data,
            &temporary,
            &socket,
            &port_of,
        ];
        let mut server = Server::start(Path::new(&program), &arguments);
        server.wait_for("ready for connections").await;
        let started = Self { dir, port, _server: server };
        started.run_in(
            "mysql",
            &format!(
                "CREATE DATABASE wiki; CREATE USER wiki@'127.0.0.1' IDENTIFIED BY '{}'; GRANT ALL ON wiki.* TO wiki@'127.0.0.1';",
                Self::PASSWORD
            ),
        );
        Some(started)
    }

    /// Its address, without the password.
    pub fn url(&self) -> String {
        format!("mariadb://wiki@127.0.0.1:{}/wiki", self.port)
    }

    /// Makes another database, which its user may do anything in. Returns its address, without the password.
    pub fn create(&self, name: &str) -> String {
        self.run(&format!("CREATE DATABASE {name}; GRANT ALL ON {name}.* TO wiki@'127.0.0.1';"));
        format!("mariadb://wiki@127.0.0.1:{}/{name}", self.port)
    }

    /// Runs statements in the database `wiki`, as its own client does; returns rows as it shows them.
    pub fn run(&self, sql: &str) -> String {
        self.run_in("wiki", sql)
    }

    /// The same in another database.
    ///
    /// # Panics
    /// If its client refuses.
    pub fn run_in(&self, database: &str, sql: &str) -> String {
        let mut client = Command::new("mariadb")
            .args(["--no-defaults", "--user=root", "--batch", "--default-character-set=utf8mb4"])
            .args([format!("--socket={}", socket(&self.dir)), database.to_owned()])
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
}

fn socket(dir: &Dir) -> String {
    dir.join("socket").display().to_string()
}
