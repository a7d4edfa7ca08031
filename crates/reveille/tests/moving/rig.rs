//! A file, a database, and the command.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use reveille_sandbox::init;
use reveille_store_mariadb::{MariaDbError, MariaDbSettings, MariaDbStore};
use reveille_store_sqlite::{OpenError, SqliteStore};
use reveille_testkit::{Dir, MariaDb, free_ports, needs_all};

use crate::scene::at;

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");

/// Whether both stores are sealed with one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    One,
    Two,
}

/// A file with its key, an empty database with its own, and a configuration that names the database.
pub(crate) struct Rig {
    pub(crate) database: MariaDb,
    dir: Dir,
    config: PathBuf,
    keys: Keys,
}

impl Rig {
    /// Nothing where there is no `MariaDB`.
    pub(crate) async fn start(keys: Keys) -> Option<Self> {
        let Some(database) = MariaDb::start().await else {
            println!("{}", needs_all("moving into a real MariaDB"));
            return None;
        };
        let dir = Dir::new();
        let config = init(&dir.join("rig"), free_ports(), 1).unwrap();
        std::fs::write(config.with_file_name("db.password"), MariaDb::PASSWORD).unwrap();
        let text = std::fs::read_to_string(&config).unwrap();
        let store = format!("store = \"{}\"\nkey_file = \"new.key\"", database.url());
        let text = text.replace("store = \"sqlite:reveille.db\"", &store);
        let section = "[push.mariadb]\npassword_file = \"db.password\"\n\n[push.mix]";
        std::fs::write(&config, text.replacen("[push.mix]", section, 1)).unwrap();
        Some(Self { database, dir, config, keys })
    }

    /// The file of the store as it is.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join("old.db")
    }

    fn new_key(&self) -> PathBuf {
        self.config.with_file_name("new.key")
    }

    fn old_key(&self) -> PathBuf {
        match self.keys {
            Keys::One => self.new_key(),
            Keys::Two => self.dir.join("old.key"),
        }
    }

    pub(crate) fn open_file(&self, file: &Path) -> Result<SqliteStore, OpenError> {
        SqliteStore::open_with_key(file, &self.old_key(), at(0))
    }

    /// A copy of the file as it is now.
    pub(crate) fn copy(&self) -> PathBuf {
        // With its log, which whoever closed it last may have left.
        for suffix in ["", "-wal"] {
            let from = self.dir.join(&format!("old.db{suffix}"));
            if from.exists() {
                std::fs::copy(from, self.dir.join(&format!("copy.db{suffix}"))).unwrap();
            }
        }
        self.dir.join("copy.db")
    }

    pub(crate) async fn open_database(&self) -> Result<MariaDbStore, MariaDbError> {
        let mut settings = MariaDbSettings::new(self.database.url(), self.new_key());
        settings.password = Some(MariaDb::PASSWORD.to_owned());
        settings.clock_skew_max = None;
        settings.connections_max = 4;
        MariaDbStore::open(settings, at(0)).await
    }

    pub(crate) fn migrate(&self) {
        let config = self.config.to_str().unwrap();
        let done = command(&["migrate", "--config", config]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    fn moving(&self, more: &[&str]) -> Command {
        let (from, key) = (format!("sqlite:{}", self.file().display()), self.old_key());
        let words = ["move", "--from", &from, "--from-key-file", key.to_str().unwrap()];
        command(&[&words, more].concat())
    }

    /// Begins to move.
    pub(crate) fn begin(&self) -> Child {
        let config = self.config.to_str().unwrap();
        self.moving(&["--config", config]).spawn().unwrap()
    }

    /// Moves, and waits for the end.
    pub(crate) fn run(&self, more: &[&str]) -> Output {
        let config = self.config.to_str().unwrap();
        self.moving(&[&["--config", config], more].concat()).output().unwrap()
    }

    pub(crate) fn take_back(&self) -> Output {
        self.moving(&["--take-back"]).output().unwrap()
    }

    /// How many rows have come so far.
    pub(crate) fn moved(&self) -> u64 {
        let sql = "SELECT COALESCE(SUM(count), 0) FROM moved_tables;";
        self.database.run(sql).lines().nth(1).unwrap().parse().unwrap()
    }
}

pub(crate) fn errors(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(REVEILLE);
    command.args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
