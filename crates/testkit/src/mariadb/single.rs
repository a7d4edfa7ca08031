//! One server.

use std::path::Path;

use super::server::{ask, begin, install, options, socket};
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
        Self::start_with(&[]).await
    }

    /// The same, with more options.
    ///
    /// # Panics
    /// If it is installed and cannot be started.
    pub async fn start_with(more: &[&str]) -> Option<Self> {
        let program = mariadb()?;
        let (dir, port) = (Dir::new(), free_port());
        install(&dir, "root");
        let mut options = options(&dir, ("127.0.0.1", port), "root");
        // Wikis write UTC, wherever their database is.
        options.push("--default-time-zone=+05:00".to_owned());
        let words: Vec<&str> =
            options.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let mut server = Server::start(Path::new(&program), &words);
        server.wait_for("ready for connections").await;
        ask(&dir, "mysql", &begin("127.0.0.1"));
        Some(Self { dir, port, _server: server })
    }

    /// Follows another server from now on, which writes a binary log.
    pub fn follow(&self, other: &Self) {
        other.run("GRANT REPLICATION SLAVE ON *.* TO wiki@'127.0.0.1';");
        let now = other.run("SELECT @@GLOBAL.gtid_binlog_pos;");
        let now = now.lines().nth(1).unwrap_or_default();
        self.run(&format!(
            "SET GLOBAL gtid_slave_pos = '{now}'; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {},
             MASTER_USER = 'wiki', MASTER_PASSWORD = '{}', MASTER_USE_GTID = slave_pos; START SLAVE;",
            other.port,
            Self::PASSWORD
        ));
    }

    /// Waits until it has what the server that it follows has now.
    ///
    /// # Panics
    /// If it does not get it.
    pub fn catch_up(&self, other: &Self) {
        let now = other.run("SELECT @@GLOBAL.gtid_binlog_pos;");
        let now = now.lines().nth(1).unwrap_or_default();
        let caught = self.run(&format!("SELECT MASTER_GTID_WAIT('{now}', 60);"));
        assert_eq!(caught.lines().nth(1), Some("0"), "{}", self.run("SHOW SLAVE STATUS\\G"));
    }

    /// Its address, without the password.
    pub fn url(&self) -> String {
        format!("mariadb://wiki@127.0.0.1:{}/wiki", self.port)
    }

    /// Its port at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What its own client reaches it through, as root.
    pub fn socket(&self) -> String {
        socket(&self.dir)
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
        ask(&self.dir, database, sql)
    }
}
