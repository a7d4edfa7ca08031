//! Where a page is played: a folder, ports of its own, and who stands in for Apple, Google, browsers and database servers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use reveille_testkit::{Cassandra, Dir, MariaDb, TestSandbox, free_port_range};

pub(super) const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");
/// The ports that pages speak of; each is one of the test's own.
const PORTS: [u16; 16] = [
    8900, 8901, 8902, 8903, 8904, 8905, 8906, 8907, 8908, 8909, 8910, 8911, 8912, 8913, 8081, 8082,
];
/// The hosts that pages speak of.
const MARIADB_HOST: &str = "db.example.org";
const CASSANDRA_HOST: &str = "cassandra1.example.org";
/// The app of the guides, as Apple's look-alike knows it.
const APP: &str = "
[sandbox.apns_apps.example]
topics = [\"org.example.app\"]
key_file = \"AuthKey.p8\"
key_id = \"ABC123DEFG\"
team_id = \"DEF123GHIJ\"
";
/// What the Apple developer account, the Firebase console and a browser would have given: files of the sandbox, by what a guide calls them.
const GIVEN: [(&str, &str); 2] =
    [("AuthKey.p8", "AuthKey_ABC123DEFG.p8"), ("service-account.json", "service-account.json")];

/// What a page needs besides this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    MariaDb,
    Cassandra,
}

/// What a page needs.
pub(super) fn needs(page: &str) -> Need {
    match page {
        "guides/mariadb.md" => Need::MariaDb,
        "guides/cassandra.md" => Need::Cassandra,
        _ => Need::Nothing,
    }
}

/// Where it is played.
pub(super) struct Stage {
    dir: Dir,
    /// The first of the test's ports.
    first: u16,
    sandbox: TestSandbox,
    /// Names on the page, and what they are here.
    names: Vec<(&'static str, String)>,
    _database: (Option<MariaDb>, Option<Cassandra>),
}

impl Stage {
    /// Sets it, where what the page needs is there.
    pub(super) async fn set(page: &str) -> Option<Self> {
        let dir = Dir::new();
        std::fs::write(dir.join(".variables"), "").unwrap();
        let sandbox = TestSandbox::start(APP).await;
        for (file, given) in GIVEN {
            std::fs::copy(sandbox.file(file), dir.join(given)).unwrap();
        }
        let browser = sandbox.subscription("mozilla", "a-browser");
        std::fs::write(dir.join("browser.json"), browser.to_string()).unwrap();
        let (mut names, mut database) = (Vec::new(), (None, None));
        match needs(page) {
            Need::Nothing => {}
            Need::MariaDb => {
                let server = MariaDb::start().await?;
                let at = server.url().split('@').nth(1)?.split('/').next()?.to_owned();
                names.push((MARIADB_HOST, at));
                as_root(&dir, &server.socket());
                database.0 = Some(server);
            }
            Need::Cassandra => {
                let server = Cassandra::start_one().await?;
                let address = server.addresses("dc1").first()?.clone();
                names.push((CASSANDRA_HOST, format!("{address}:{}", server.port())));
                database.1 = Some(server);
            }
        }
        let first = free_port_range(u16::try_from(PORTS.len()).unwrap());
        Some(Self { dir, first, sandbox, names, _database: database })
    }

    pub(super) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Each port of the pages, and which it is here.
    fn ports(&self) -> impl Iterator<Item = (String, String)> {
        let here = PORTS.iter().zip(self.first..);
        here.map(|(there, here)| (there.to_string(), here.to_string()))
    }

    /// A text of a page as it is here.
    pub(super) fn here(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (there, here) in self.ports() {
            text = with_number(&text, &there, &here);
        }
        for (there, here) in &self.names {
            text = text.replace(there, here);
        }
        text.replace("reveille dev", &format!("reveille dev --port {}", self.first))
    }

    /// What is said here as the page has it.
    pub(super) fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (there, here) in self.ports() {
            text = with_number(&text, &here, &there);
        }
        for (there, here) in &self.names {
            text = text.replace(here, there);
        }
        text
    }

    /// A file of a page as it is here. A provider that is not said to be elsewhere is the sandbox.
    pub(super) fn staged(&self, text: &str) -> String {
        let TestSandbox { apns_port, fcm_port, webpush_port, .. } = self.sandbox;
        let (authority, text) = (self.sandbox.file("ca.pem"), self.here(text));
        let authority = format!("ca_file = \"{}\"\nretry_first_s = 1", authority.display());
        let at = |port: u16| format!("https://127.0.0.1:{port}");
        let mut staged = String::new();
        for line in text.lines() {
            let elsewhere = if line.starts_with("[apns.") {
                format!("endpoint = \"{}\"\n{authority}\n", at(apns_port))
            } else if line.starts_with("[fcm.") {
                format!("endpoint = \"{}\"\n{authority}\n", at(fcm_port))
            } else if line == "[webpush]" {
                format!("allow_origins = [\"{}\"]\n{authority}\n", at(webpush_port))
            } else {
                String::new()
            };
            staged.extend([line, "\n", &elsewhere]);
        }
        staged
    }

    /// Configurations and accounts that a command has written speak of the ports of the test.
    pub(super) fn take_over(&self) {
        for file in configurations(self.folder()) {
            let text = std::fs::read_to_string(&file).unwrap();
            let here = self.here(&text);
            if here != text {
                std::fs::write(&file, here).unwrap();
            }
        }
    }

    /// What a command finds in its environment.
    pub(super) fn environment(&self, command: &str) -> Vec<(String, String)> {
        let address = |number: u16| format!("127.0.0.1:{}", self.first + number);
        let programs = Path::new(REVEILLE).parent().unwrap().display();
        let path = format!("{}:{programs}:/usr/sbin:/usr/bin:/sbin:/bin", self.folder().display());
        let mut environment =
            vec![("PATH", path), ("REVEILLE_URL", format!("http://{}", address(0)))];
        // Where the page's configuration says nothing the default is meant.
        if command.contains("reveille push") && !command.contains("--reference-config") {
            environment.push(("REVEILLE_PUSH__INTAKE__LISTEN", address(0)));
        }
        if command.contains("reveille sessions") && !command.contains("--kask-config") {
            environment.push(("REVEILLE_SESSIONS__LISTEN", address(14)));
        }
        environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// About a second passes.
    pub(super) async fn pass_time(&self) {
        self.sandbox.control.get("/stats?received_min=1000000&wait_s=1").await;
    }
}

/// `mariadb` in the folder is the database's own client, as root.
fn as_root(dir: &Dir, socket: &str) {
    let script = format!(
        "#!/bin/sh\nexec /usr/bin/mariadb --no-defaults --user=root --socket={socket} \"$@\"\n"
    );
    let file = dir.join("mariadb");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn configurations(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(configurations(&path));
        } else if path.extension().is_some_and(|end| end == "toml" || end == "json") {
            found.push(path);
        }
    }
    found
}

/// With one number in another's place, but not where it is a part of a longer one.
fn with_number(text: &str, number: &str, other: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(number) {
        let (before, after) = (&rest[..at], &rest[at + number.len()..]);
        let is_part = before.ends_with(|it: char| it.is_ascii_digit())
            || after.starts_with(|it: char| it.is_ascii_digit());
        done += before;
        done += if is_part { number } else { other };
        rest = after;
    }
    done + rest
}

#[test]
fn a_number_is_replaced_as_a_whole() {
    assert_eq!(with_number(":8900 18900 89001 8900", "8900", "12"), ":12 18900 89001 12");
}
