//! `reveille import echo` and `export echo`: in from a wiki's tables, and out again.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reveille_sandbox::{Ports, init};
use reveille_testkit::{Client, Dir, MariaDb, Server, echo_tables, free_ports, needs_all};
use serde_json::{Value, json};

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");

/// What stands in the tables from the beginning.
const NAMES: &str = "
INSERT INTO w_echo_push_provider (epp_name) VALUES ('fcm'), ('apns');
INSERT INTO w_echo_push_topic (ept_text) VALUES ('org.wikimedia.wikipedia'), ('org.wikimedia.wikipedia.tfbeta'), ('org.example.other');
";

/// The wiki's tables, without a subscription.
fn tables() -> String {
    echo_tables("w_") + NAMES
}

/// A row with a token as it is written in SQL.
fn row(user: u32, token: &str, provider: u8, topic: &str) -> String {
    format!("({user}, {token}, SHA2({token}, 256), {provider}, '2026-01-02 03:04:05', {topic})")
}

const INSERT: &str = "INSERT INTO w_echo_push_subscription (eps_user, eps_token, eps_token_sha256, eps_provider, eps_updated, eps_topic) VALUES ";
/// Devices that anybody would take.
const PLAIN: &str = "INSERT INTO w_echo_push_subscription (eps_id, eps_user, eps_token, eps_token_sha256, eps_provider, eps_updated, eps_topic)
    SELECT seq, 1000 + seq DIV 3, CONCAT('fcm:', seq, '/_-'), SHA2(CONCAT('fcm:', seq, '/_-'), 256), 1, '2023-11-14 22:13:20' + INTERVAL seq SECOND, NULL
    FROM seq_1_to_1200;
    INSERT INTO w_echo_push_subscription (eps_id, eps_user, eps_token, eps_token_sha256, eps_provider, eps_updated, eps_topic)
    SELECT 1200 + seq, 1000 + seq DIV 3, SHA2(seq, 256), SHA2(SHA2(seq, 256), 256), 2, '2023-11-14 22:13:20' + INTERVAL seq SECOND, 1 + seq MOD 2
    FROM seq_1_to_300;";

struct Rig {
    config: PathBuf,
    ports: Ports,
    dir: Dir,
}

impl Rig {
    fn new() -> Self {
        let (dir, ports) = (Dir::new(), free_ports());
        let config = init(&dir.join("rig"), ports, 1).unwrap();
        std::fs::write(dir.join("password"), format!("{}\n", MariaDb::PASSWORD)).unwrap();
        Self { config, ports, dir }
    }

    async fn start(&self) -> Server {
        let arguments = ["push", "--config", self.config.to_str().unwrap()];
        let mut server = Server::start(Path::new(REVEILLE), &arguments);
        server.wait_for("the push server is listening").await;
        server
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.intake)
    }

    fn client(&self) -> Client {
        Client::new(&self.url())
    }

    fn import(&self, from: &str, more: &[&str]) -> Output {
        let password = self.dir.join("password").display().to_string();
        let url = self.url();
        let arguments = [
            "import",
            "echo",
            "--from",
            from,
            "--password-file",
            &password,
            "--table-prefix",
            "w_",
            "--realm",
            "central",
            "--url",
            &url,
        ];
        Command::new(REVEILLE).args(arguments).args(more).output().unwrap()
    }

    fn export(&self, to: &str, realm: &str) -> Output {
        let password = self.dir.join("password").display().to_string();
        let config = self.config.display().to_string();
        let arguments = [
            "export",
            "echo",
            "--to",
            to,
            "--password-file",
            &password,
            "--table-prefix",
            "w_",
            "--realm",
            realm,
            "--config",
            &config,
            "--json",
        ];
        Command::new(REVEILLE).args(arguments).output().unwrap()
    }
}

/// What a command has said as JSON.
fn said(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"))
}

/// Everything a wiki needs to know, in an order of its own.
const ALL: &str =
    "SELECT eps_user, eps_token, eps_token_sha256, epp_name, UNIX_TIMESTAMP(eps_updated), ept_text
    FROM w_echo_push_subscription JOIN w_echo_push_provider ON epp_id = eps_provider
    LEFT JOIN w_echo_push_topic ON ept_id = eps_topic ORDER BY eps_token_sha256;";

#[tokio::test]
async fn a_wikis_subscriptions_come_in_and_go_out_as_they_were() {
    let Some(wiki) = MariaDb::start().await else {
        println!("{}", needs_all("a wiki's tables in MariaDB"));
        return;
    };
    wiki.run(&tables());
    wiki.run(PLAIN);
    let before = wiki.run(ALL);
    let rig = Rig::new();
    let mut server = rig.start().await;

    let first = said(&rig.import(&wiki.url(), &["--json"]));
    let expected =
        json!({"rows": 1_500, "results": {"created": 1_500}, "evicted": 0, "last": 1_500});
    assert_eq!(first, expected);
    let devices = rig.client().get("/v1/users/central:1010/subscriptions").await.json();
    assert_eq!(devices.as_array().map(Vec::len), Some(6));
    assert_eq!(devices[0]["created_at"], json!("2023-11-14T22:13:50Z"));

    // Again: nothing happens. From the middle, too: what is left is read.
    let again = said(&rig.import(&wiki.url(), &["--json"]));
    assert_eq!(again["results"], json!({"known": 1_500}));
    let rest = said(&rig.import(&wiki.url(), &["--json", "--after", "1400"]));
    assert_eq!(rest["results"], json!({"known": 100}));

    // And as the database's own client writes the tables into files.
    let folder = rig.dir.join("tsv");
    std::fs::create_dir(&folder).unwrap();
    for table in ["subscription", "provider", "topic"] {
        let rows = wiki.run(&format!("SELECT * FROM w_echo_push_{table}"));
        std::fs::write(folder.join(format!("w_echo_push_{table}.tsv")), rows).unwrap();
    }
    let of_files = said(&rig.import(folder.to_str().unwrap(), &["--json"]));
    assert_eq!(of_files["results"], json!({"known": 1_500}));

    // Out again, into tables that hold nothing, and into ones that hold some of it.
    assert_eq!(server.terminate(), Some(0));
    wiki.run("DELETE FROM w_echo_push_subscription; DELETE FROM w_echo_push_topic; DELETE FROM w_echo_push_provider WHERE epp_id = 2;");
    let out = said(&rig.export(&wiki.url(), "central"));
    assert_eq!(out, json!({"written": 1_500, "other_realms": 0, "browsers": 0}));
    assert_eq!(wiki.run(ALL), before);
    wiki.run("UPDATE w_echo_push_subscription SET eps_user = 7, eps_updated = '2020-01-01 00:00:00' WHERE eps_id < 100");
    said(&rig.export(&wiki.url(), "central"));
    assert_eq!(wiki.run(ALL), before, "what is there is put right");
    // What the wiki has learned since is its own.
    wiki.run("UPDATE w_echo_push_subscription SET eps_user = 7, eps_updated = '2030-01-01 00:00:00' WHERE eps_token = 'fcm:1/_-'");
    let newer = wiki.run(ALL);
    said(&rig.export(&wiki.url(), "central"));
    assert_eq!(wiki.run(ALL), newer);
    let other = said(&rig.export(&wiki.url(), "enwiki"));
    assert_eq!(other, json!({"written": 0, "other_realms": 1_500, "browsers": 0}));
}

#[tokio::test]
async fn what_cannot_be_taken_is_named_and_the_rest_is_taken() {
    let Some(wiki) = MariaDb::start().await else {
        println!("{}", needs_all("a wiki's odd rows in MariaDB"));
        return;
    };
    wiki.run(&tables());
    let rows = [
        row(42, "'planted-good'", 1, "NULL"),
        row(42, "'planted|pipe'", 1, "3"),
        row(42, "'planted-no-hex'", 2, "1"),
        row(42, "'AABB'", 2, "1"),
        row(42, "'ccdd'", 2, "NULL"),
        row(42, "'eeff'", 2, "3"),
        row(42, "'planted-provider'", 9, "NULL"),
        row(0, "'planted-nobody'", 1, "NULL"),
        row(42, "x'70C328'", 1, "NULL"),
        row(42, "'planted-\u{e9}'", 1, "NULL"),
        row(42, "REPEAT('x', 5000)", 1, "NULL"),
        row(42, "'planted-taken'", 1, "NULL"),
    ];
    // What one user registers keeps nobody's from coming: pages are large, and odd.
    let large = "INSERT INTO w_echo_push_subscription (eps_user, eps_token, eps_token_sha256, eps_provider, eps_updated)
        SELECT 100 + seq, CONCAT(REPEAT('y', 4000), seq), SHA2(CONCAT(REPEAT('y', 4000), seq), 256), 1, 0 FROM seq_1_to_300;
        INSERT INTO w_echo_push_subscription (eps_user, eps_token, eps_token_sha256, eps_provider, eps_updated)
        SELECT 44, CONCAT(REPEAT('z', 65000), seq), SHA2(CONCAT(REPEAT('z', 65000), seq), 256), 1, 0 FROM seq_1_to_20";
    wiki.run(&format!("{INSERT}{};", rows.join(",")));
    wiki.run(&format!("SET sql_mode = ''; {large};"));
    let rig = Rig::new();
    let _server = rig.start().await;
    // Somebody has it by now.
    let device = json!({"provider": "fcm", "token": "planted-taken"});
    rig.client().post("/v1/users/central:43/subscriptions", &device).await;

    let left_out = rig.dir.join("left-out.csv").display().to_string();
    let output = rig.import(&wiki.url(), &["--left-out", &left_out]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.starts_with("332 rows: 303 registered, 0 known here already, 29 left out\n"),
        "{said}"
    );
    assert!(said.contains("1 are another user's here by now"), "{said}");
    let left_out = std::fs::read_to_string(left_out).unwrap();
    for (id, why) in [
        (3, "hexadecimal"),
        (5, "has no topic"),
        (6, "`topic` must be one of"),
        (7, "has no name"),
        (8, "its user is nobody"),
        (9, "is no text"),
        (10, "visible ASCII"),
        (11, "longer than 4096"),
        (12, "another user"),
    ] {
        let line = left_out.lines().find(|line| line.starts_with(&format!("{id},"))).unwrap();
        assert!(line.contains(why), "{line}");
    }
    let all = format!("{left_out}{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!all.contains("planted"), "no token is shown: {all}");
    let devices = rig.client().get("/v1/users/central:42/subscriptions").await.json();
    assert_eq!(devices.as_array().map(Vec::len), Some(3));
}

/// A server that goes away in the middle: what is there stays, and the rest comes when it is run again.
#[tokio::test]
async fn an_import_that_breaks_off_goes_on_where_it_was() {
    let Some(wiki) = MariaDb::start().await else {
        println!("{}", needs_all("an import from MariaDB that breaks off"));
        return;
    };
    wiki.run(&tables());
    wiki.run(PLAIN);
    let rig = Rig::new();
    let mut server = rig.start().await;
    // The third page cannot be read.
    wiki.run("ALTER TABLE w_echo_push_subscription MODIFY eps_user INT UNSIGNED NULL; UPDATE w_echo_push_subscription SET eps_user = NULL WHERE eps_id = 1200");
    let output = rig.import(&wiki.url(), &[]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("--after 1000"), "{error}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("1000 rows: 1000 registered"));
    wiki.run("UPDATE w_echo_push_subscription SET eps_user = 7 WHERE eps_id = 1200");
    server.kill();
    let output = rig.import(&wiki.url(), &["--after", "1000"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("is it running?"), "{error}");
    let _server = rig.start().await;
    let rest = said(&rig.import(&wiki.url(), &["--json", "--after", "1000"]));
    assert_eq!(rest["results"], json!({"created": 500}));
}

/// A dump: written by the database's own client, or by `export`.
#[tokio::test]
async fn dumps_come_in_and_go_out() {
    let rig = Rig::new();
    let folder = rig.dir.join("dump");
    std::fs::create_dir(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "w_echo_push_subscription.csv",
        "eps_id,eps_user,eps_token,eps_token_sha256,eps_provider,eps_updated,eps_data,eps_topic\n5,42,\"a,\"\"b\",x,1,20260102030405,,\n3,42,aabb,x,2,2026-01-02 03:04:05,,1\n",
    );
    write("w_echo_push_provider.csv", "epp_id,epp_name\n1,fcm\n2,apns\n");
    write("w_echo_push_topic.csv", "ept_id,ept_text\n1,org.wikimedia.wikipedia\n");
    let mut server = rig.start().await;
    let from = folder.display().to_string();
    assert_eq!(said(&rig.import(&from, &["--json"]))["results"], json!({"created": 2}));
    assert_eq!(server.terminate(), Some(0));

    let out = rig.dir.join("out");
    assert_eq!(said(&rig.export(out.to_str().unwrap(), "central"))["written"], json!(2));
    let text = std::fs::read_to_string(out.join("w_echo_push_subscription.csv")).unwrap();
    let tokens: Vec<&str> = text.lines().skip(1).collect();
    assert!(tokens.iter().any(|line| line.contains(",42,\"a,\"\"b\",")), "{text}");
    let again = rig.export(out.to_str().unwrap(), "central");
    assert_eq!(again.status.code(), Some(1), "nothing is overwritten");
    // What was written is read as it is, by a server that knows it already.
    let mut server = rig.start().await;
    let again = said(&rig.import(out.to_str().unwrap(), &["--json"]));
    assert_eq!(again["results"], json!({"known": 2}));
    assert_eq!(server.terminate(), Some(0));

    // What cannot be read is said, with its place.
    for (name, text, what) in [
        ("w_echo_push_subscription.csv", "eps_id,eps_user\n1,2\n", "does not name the column"),
        (
            "w_echo_push_subscription.csv",
            "eps_id,eps_user,eps_token,eps_provider,eps_updated,eps_topic\n1,x,t,1,20260102030405,\n",
            "record 2: eps_user is no number",
        ),
        (
            "w_echo_push_subscription.csv",
            "eps_id,eps_user,eps_token,eps_provider,eps_updated,eps_topic\n1,2\n",
            "record 2: it has not as many columns",
        ),
    ] {
        write(name, text);
        let output = rig.import(&from, &[]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains(what), "{error}");
    }
    std::fs::remove_file(folder.join("w_echo_push_topic.csv")).unwrap();
    let output = rig.import(&from, &[]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("w_echo_push_topic.csv: it is missing")
    );
    for (from, more, code, what) in [
        ("nowhere", &[][..], 1, "mariadb://USER@HOST/DATABASE, or a folder"),
        (from.as_str(), &["--realm", "en wiki"][..], 2, "--realm must be"),
        ("mariadb://nobody@127.0.0.1:1/wiki", &[], 1, "cannot read the wiki's subscriptions"),
    ] {
        let more: Vec<&str> = more.to_vec();
        let mut command = Command::new(REVEILLE);
        command.args(["import", "echo", "--from", from]);
        if more.is_empty() {
            command.args(["--realm", "central"]);
        }
        let output = command.args(more).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && error.contains(what), "{error}");
    }
}

#[tokio::test]
async fn files_of_the_databases_client_come_in() {
    let rig = Rig::new();
    // The client of the database escapes less than one would think.
    let tsv = rig.dir.join("tsv");
    std::fs::create_dir(&tsv).unwrap();
    for (name, text) in [
        (
            "subscription",
            "eps_id\teps_user\teps_token\teps_provider\teps_updated\teps_topic\n1\t7\ta\rb\t1\t2026-01-02 03:04:05\tNULL\n2\t7\tgood\t1\t0000-00-00 00:00:00\tNULL\n",
        ),
        ("provider", "epp_id\tepp_name\n1\tfcm\n"),
        ("topic", "ept_id\tept_text\n"),
    ] {
        std::fs::write(tsv.join(format!("w_echo_push_{name}.tsv")), text).unwrap();
    }
    let server = rig.start().await;
    let of_tsv = said(&rig.import(tsv.to_str().unwrap(), &["--json"]));
    assert_eq!(of_tsv["results"], json!({"created": 1, "refused": 1}));
    let after = rig.import(tsv.to_str().unwrap(), &["--after", "1"]);
    assert_eq!(after.status.code(), Some(2), "rows of a file may stand in any order");
    drop(server);
}
