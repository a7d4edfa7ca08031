//! Where a page is played: a folder, ports of its own, and who stands in for Apple, Google, browsers and database servers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use reveille_testkit::{
    Cassandra, Dir, MariaDb, RealWiki, TestSandbox, echo_tables, free_port_range,
};

pub(super) const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");
/// The ports that pages speak of; each is one of the test's own.
const PORTS: [u16; 16] = [
    8900, 8901, 8902, 8903, 8904, 8905, 8906, 8907, 8908, 8909, 8910, 8911, 8912, 8913, 8081, 8082,
];
/// The hosts that pages speak of.
const MARIADB_HOST: &str = "db.example.org";
const CASSANDRA_HOST: &str = "cassandra1.example.org";
/// The port of Cassandra's that pages speak of.
const CASSANDRA_PORT: &str = "9042";
/// The wiki that pages speak of.
const WIKI: &str = "https://meta.example.org/w/api.php";
/// What Echo gives a wiki besides tables: a group whose members may delete what is dead.
const GROUP: &str =
    "$wgGroupPermissions['push-subscription-manager']['manage-all-push-subscriptions'] = true;";
/// Who is registered in the wiki's tables.
const REGISTERED: &str = "
INSERT INTO echo_push_provider (epp_name) VALUES ('fcm'), ('apns');
INSERT INTO echo_push_topic (ept_text) VALUES ('org.example.app');
INSERT INTO echo_push_subscription (eps_user, eps_token, eps_token_sha256, eps_provider, eps_topic) VALUES
    (42, 'a-phone', SHA2('a-phone', 256), 1, NULL), (42, 'ab01', SHA2('ab01', 256), 2, 1), (43, 'ab02', SHA2('ab02', 256), 2, 1);
";
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
    /// A wiki, and its tables in MariaDB.
    Wiki,
}

/// What a page needs.
pub(super) fn needs(page: &str) -> Need {
    match page {
        "guides/mariadb.md" | "scaling.md" => Need::MariaDb,
        "guides/cassandra.md" | "guides/reference-service.md" => Need::Cassandra,
        "mediawiki.md" => Need::Wiki,
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
    servers: Servers,
}

/// Whom the page needs.
#[derive(Default)]
struct Servers {
    mariadb: Option<MariaDb>,
    cassandra: Option<Cassandra>,
    wiki: Option<RealWiki>,
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
        let servers = Servers::start(needs(page)).await?;
        let names = servers.introduce(&dir);
        let first = free_port_range(u16::try_from(PORTS.len()).unwrap());
        Some(Self { dir, first, sandbox, names, servers })
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
        if let Some(wiki) = &self.servers.wiki {
            environment.push(("MW_CONFIG_FILE", wiki.settings()));
        }
        environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// About a second passes.
    pub(super) async fn pass_time(&self) {
        self.sandbox.control.get("/stats?received_min=1000000&wait_s=1").await;
    }
}

impl Servers {
    /// Starts them, where they are installed.
    async fn start(need: Need) -> Option<Self> {
        let mut servers = Self::default();
        match need {
            Need::Nothing => {}
            Need::MariaDb => servers.mariadb = Some(MariaDb::start().await?),
            Need::Cassandra => servers.cassandra = Some(Cassandra::start_one().await?),
            Need::Wiki => {
                let (wiki, tables) = (RealWiki::start().await?, MariaDb::start().await?);
                wiki.set(GROUP);
                tables.create("wikishared");
                tables.run_in("wikishared", &(echo_tables("") + REGISTERED));
                servers = Self { mariadb: Some(tables), wiki: Some(wiki), cassandra: None };
            }
        }
        Some(servers)
    }

    /// What a page calls them, and what they are called here. Whatever a reader has on their machines comes into the folder.
    fn introduce(&self, dir: &Dir) -> Vec<(&'static str, String)> {
        let mut names = Vec::new();
        if let Some(server) = &self.mariadb {
            names.push((MARIADB_HOST, format!("127.0.0.1:{}", server.port())));
            as_root(dir, &server.socket());
        }
        if let Some(server) = &self.cassandra {
            let (address, port) = (server.addresses("dc1").remove(0), server.port());
            names.push((
                "cassandra://cassandra1.example.org",
                format!("cassandra://{address}:{port}"),
            ));
            names.push((CASSANDRA_HOST, address));
            names.push((CASSANDRA_PORT, port.to_string()));
        }
        if let Some(wiki) = &self.wiki {
            names.push((WIKI, wiki.api.clone()));
            let maintenance = wiki.folder().join("maintenance");
            std::os::unix::fs::symlink(maintenance, dir.join("maintenance")).unwrap();
            std::fs::write(dir.join("db.password"), MariaDb::PASSWORD).unwrap();
        }
        names
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

/// Links are not followed: what they lead to is not the page's.
fn configurations(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(configurations(&path));
        } else if kind.is_file()
            && path.extension().is_some_and(|end| end == "toml" || end == "json")
        {
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
