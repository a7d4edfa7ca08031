//! The binary as people meet it: first steps, mistakes, and what it says to them.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reveille_sandbox::{Ports, init};
use reveille_testkit::{
    Client, Dir, RealWiki, Server, free_port, free_port_range, free_ports, needs_all, python,
};
use serde_json::json;

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");

fn reveille(arguments: &[&str]) -> Output {
    Command::new(REVEILLE).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct Rig {
    config: PathBuf,
    ports: Ports,
    dir: Dir,
}

impl Rig {
    fn new() -> Self {
        let dir = Dir::new();
        let ports = free_ports();
        let config = init(&dir.join("rig"), ports, 1).unwrap();
        Self { config, ports, dir }
    }

    fn path(&self) -> &str {
        self.config.to_str().unwrap()
    }

    async fn start(&self, command: &str, line: &str) -> Server {
        let mut server = Server::start(Path::new(REVEILLE), &[command, "--config", self.path()]);
        server.wait_for(line).await;
        server
    }
}

#[tokio::test]
async fn the_first_steps_work_as_written() {
    let rig = Rig::new();
    let sandbox = rig.start("sandbox", "the sandbox is listening").await;
    let checked = reveille(&["check", "--config", rig.path()]);
    assert_eq!(
        checked.status.code(),
        Some(0),
        "{}{}",
        text(&checked.stdout),
        text(&checked.stderr)
    );
    for taken in [
        "fcm.default takes our credentials",
        "apns.wikipedia takes our credentials for org.wikimedia.wikipedia.tfbeta",
        "webpush can sign for browsers",
    ] {
        assert!(text(&checked.stdout).contains(taken), "{}", text(&checked.stdout));
    }
    let mut push = rig.start("push", "the push server is listening").await;
    let url = format!("http://127.0.0.1:{}", rig.ports.intake);
    let client = Client::new(&url);
    let device = json!({"provider": "fcm", "token": "a-phone"});
    assert_eq!(client.post("/v1/users/alice%20b/subscriptions", &device).await.status, 201);

    let metrics = client.get("/metrics").await.text;
    assert!(!metrics.contains("push_notifications_") && !metrics.contains("express_"), "{metrics}");

    let listed = reveille(&["subscriptions", "list", "alice b", "--url", &url]);
    assert!(text(&listed.stdout).contains("fcm.default"), "{}", text(&listed.stderr));
    assert!(!text(&listed.stdout).contains("a-phone"));
    let sent = reveille(&["send", "alice b", "--type", "mention", "--url", &url]);
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent.stderr));
    let id = text(&sent.stdout).trim().to_owned();
    let control = Client::new(&format!("http://127.0.0.1:{}", rig.ports.control));
    let received = control.get("/received?provider=fcm&received_min=1&wait_s=30").await;
    assert!(received.text.contains("a-phone"));
    let trail = reveille(&["trail", &id, "--url", &url]);
    assert!(text(&trail.stdout).contains("accepted     1"), "{}", text(&trail.stdout));

    let of_server = ["--url", &url];
    let removed = reveille(
        &[["subscriptions", "remove", "alice b", "--all"].as_slice(), &of_server].concat(),
    );
    assert_eq!(text(&removed.stdout), "1 removed\n", "{}", text(&removed.stderr));
    let unknown =
        reveille(&[["subscriptions", "remove", "alice b", "0"].as_slice(), &of_server].concat());
    assert_eq!(unknown.status.code(), Some(4));
    assert!(text(&unknown.stderr).contains("no such device"), "{}", text(&unknown.stderr));

    let again = reveille(&["check", "--config", rig.path()]);
    assert!(text(&again.stdout).contains("in use by a running server"), "{}", text(&again.stdout));
    assert_eq!(push.terminate(), Some(0), "a stop that was asked for is no failure");
    drop(sandbox);
    let migrated = reveille(&["migrate", "--config", rig.path()]);
    assert!(text(&migrated.stdout).contains("has schema 14, the latest"), "{migrated:?}");
}

/// A real wiki, with an account of its own and without the group that may delete.
#[tokio::test]
async fn the_wikis_a_configuration_names_are_tried() {
    let Some(wiki) = RealWiki::start().await else {
        println!("{}", needs_all("trying a real wiki"));
        return;
    };
    let rig = Rig::new();
    let sandbox = rig.start("sandbox", "the sandbox is listening").await;
    std::fs::write(rig.dir.join("password"), RealWiki::PASSWORD).unwrap();
    let written = std::fs::read_to_string(&rig.config).unwrap();
    let check = |username: &str, id: &str| {
        let password = rig.dir.join("password").display().to_string();
        let api = &wiki.api;
        let feedback = format!(
            "[push.feedback]\nmode = \"mediawiki\"\napi = \"{api}\"\nusername = \"{username}\"\npassword_file = \"{password}\"\n"
        );
        let auth =
            format!("[push.public.auth]\nmode = \"mediawiki\"\napi = \"{api}\"\nwiki = \"{id}\"\n");
        let (before, _) = written.split_once("[push.public.auth]").unwrap();
        let (_, after) = written.split_once("[push.public.auth]").unwrap();
        let after = after.split_once("\n[").map_or("", |(_, after)| after);
        std::fs::write(&rig.config, format!("{before}{auth}{feedback}[{after}")).unwrap();
        let output = reveille(&["check", "--config", rig.path()]);
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    };
    wiki.set("$wgGroupPermissions['sysop']['manage-all-push-subscriptions'] = true;");
    let said = check("Admin", "testwiki");
    assert!(
        said.contains("the wiki knows Admin and lets it delete 500 tokens in a call"),
        "{said}"
    );
    assert!(said.contains("the wiki testwiki says who is calling"), "{said}");
    let said = check("Alice", "enwiki");
    assert!(said.contains("the account has not the right manage-all-push-subscriptions"), "{said}");
    assert!(
        said.contains("says that it is testwiki, and push.public.auth.wiki that it is enwiki"),
        "{said}"
    );
    let said = check("Nobody", "testwiki");
    assert!(said.contains("it answers wrongpassword"), "{said}");
    assert!(!said.contains(RealWiki::PASSWORD), "{said}");
    drop(sandbox);
}

#[tokio::test]
async fn mistakes_get_a_clear_word() {
    let rig = Rig::new();
    assert_eq!(reveille(&["version"]).status.code(), Some(0));
    assert_eq!(reveille(&["fly"]).status.code(), Some(2));

    let again = reveille(&["sandbox", "init", rig.dir.join("rig").to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("nothing was overwritten"), "{}", text(&again.stderr));

    let nowhere = reveille(&["push", "--config", rig.dir.join("none.toml").to_str().unwrap()]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("reveille sandbox init"), "{}", text(&nowhere.stderr));

    let broken = rig.dir.join("broken.toml");
    let mistakes = "[push]\nstore = \"elsewhere://x\"\ntypo = 1\n[push.mix]\nmode = \"mixed\"\n[fcm.default]\nendpoint = \"x\"\n[apns.wikipedia]\n";
    std::fs::write(&broken, mistakes).unwrap();
    for command in ["push", "check"] {
        let refused = reveille(&[command, "--config", broken.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(3));
        let said = text(&refused.stderr);
        for path in [
            "apns.wikipedia.key_file:",
            "apns.wikipedia.topics:",
            "fcm.default.endpoint:",
            "fcm.default.service_account_file:",
            "push.mix.mode:",
            "push.store:",
            "push.typo:",
        ] {
            assert!(said.contains(path), "{path} is not in\n{said}");
        }
    }

    let unreachable =
        reveille(&["send", "alice", "--url", &format!("http://127.0.0.1:{}", free_port())]);
    assert_eq!(unreachable.status.code(), Some(1));
    assert!(text(&unreachable.stderr).contains("is it running?"), "{}", text(&unreachable.stderr));

    let _push = rig.start("push", "the push server is listening").await;
    let url = format!("http://127.0.0.1:{}", rig.ports.intake);
    let refused = reveille(&["send", "alice", "--type", "not a word", "--url", &url]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(text(&refused.stderr).contains("`type` must be"), "{}", text(&refused.stderr));
    let second = reveille(&["push", "--config", rig.path()]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another reveille process"), "{}", text(&second.stderr));
    let checked = reveille(&["check", "--config", rig.path()]);
    assert_eq!(checked.status.code(), Some(3), "the sandbox is not running");
    assert!(text(&checked.stderr).contains("token endpoint"), "{}", text(&checked.stderr));
}

#[tokio::test]
async fn a_key_is_made_kept_from_others_and_changed() {
    let rig = Rig::new();
    // Whoever only looks makes nothing.
    let checked = reveille(&["check", "--config", rig.path()]);
    assert!(text(&checked.stdout).contains("the first start makes it"), "{checked:?}");
    let database = rig.config.with_file_name("reveille.db");
    assert!(!database.exists() && !database.with_extension("db.lock").exists());
    let mut push = rig.start("push", "the push server is listening").await;
    let key_file = rig.config.with_file_name("reveille.db.key");
    let key = std::fs::read_to_string(&key_file).unwrap();
    let rotate = || reveille(&["keys", "rotate", "--config", rig.path()]);
    let refused = rotate();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("stop it first"), "{}", text(&refused.stderr));
    assert_eq!(std::fs::read_to_string(&key_file).unwrap(), key, "nothing changed");
    push.terminate();
    let changed = rotate();
    assert_eq!(changed.status.code(), Some(0), "{}", text(&changed.stderr));
    assert!(!text(&changed.stdout).contains(key.split_whitespace().last().unwrap()));
    assert_ne!(std::fs::read_to_string(&key_file).unwrap(), key);
    let checked = reveille(&["check", "--config", rig.path()]);
    assert!(text(&checked.stdout).contains("takes writes"), "{}", text(&checked.stdout));
    std::fs::remove_file(&key_file).unwrap();
    let lost = reveille(&["push", "--config", rig.path()]);
    assert_eq!(lost.status.code(), Some(1));
    assert!(text(&lost.stderr).contains("put that file back"), "{}", text(&lost.stderr));
}

#[tokio::test]
async fn what_others_do_with_the_database_after_an_erasure_loses_nothing() {
    let Some(python) = python() else {
        println!("{}", needs_all("another process that opens the database"));
        return;
    };
    let rig = Rig::new();
    let mut push = rig.start("push", "the push server is listening").await;
    let client = Client::new(&format!("http://127.0.0.1:{}", rig.ports.intake));
    let phone = json!({"provider": "fcm", "token": "phone"});
    for user in ["alice", "bob"] {
        client.post(&format!("/v1/users/{user}/subscriptions"), &phone).await;
    }
    assert_eq!(client.delete("/v1/users/alice").await.status, 204);
    // A backup, or somebody curious. The last to close a database removes its log.
    let database = rig.config.with_file_name("reveille.db");
    let look = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(c.execute('SELECT COUNT(*) FROM subscriptions').fetchone()[0]); c.close()";
    let looked = Command::new(python).args(["-c", look]).arg(&database).output().unwrap();
    assert_eq!(text(&looked.stdout).trim(), "1", "{}", text(&looked.stderr));
    assert!(database.with_extension("db-wal").exists(), "the log is still the server's");
    let tablet = json!({"provider": "fcm", "token": "tablet"});
    assert_eq!(client.post("/v1/users/carol/subscriptions", &tablet).await.status, 201);
    push.kill();
    let _push = rig.start("push", "the push server is listening").await;
    let devices = client.get("/v1/users/carol/subscriptions").await.json();
    assert_eq!(devices.as_array().unwrap().len(), 1, "what was answered is on disk");
}

#[tokio::test]
async fn the_environment_sets_single_values() {
    let rig = Rig::new();
    let mut command = Command::new(REVEILLE);
    command.args(["push", "--config", rig.path()]).env("REVEILLE_PUSH__MIX__WINDOW_S", "0");
    let refused = command.output().unwrap();
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("push.mix.window_s"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn check_says_how_small_cohorts_are_and_a_trail_ends_with_them() {
    let rig = Rig::new();
    let _sandbox = rig.start("sandbox", "the sandbox is listening").await;
    let cohorts = [
        ("REVEILLE_PUSH__MIX__MODE", "cohort"),
        ("REVEILLE_PUSH__MIX__COHORT_FORM", "4"),
        ("REVEILLE_PUSH__MIX__COHORT_FLOOR", "2"),
    ];
    let arguments = ["push", "--config", rig.path()];
    let mut push = Server::start_with(Path::new(REVEILLE), &arguments, &cohorts);
    push.wait_for("the push server is listening").await;
    let url = format!("http://127.0.0.1:{}", rig.ports.intake);
    let client = Client::new(&url);
    for number in 0..7 {
        let device = json!({"provider": "fcm", "token": format!("phone-{number}")});
        let path = format!("/v1/users/{number}/subscriptions");
        let created = client.post(&path, &device).await;
        assert_eq!((created.status.as_u16(), &created.json()["mode"]), (201, &json!("cohort")));
    }
    let sent = reveille(&["send", "3", "--type", "mention", "--url", &url]);
    let id = text(&sent.stdout).trim().to_owned();
    let control = Client::new(&format!("http://127.0.0.1:{}", rig.ports.control));
    control.get("/received?provider=fcm&received_min=4&wait_s=30").await;
    let trail = reveille(&["trail", &id, "--url", &url]);
    assert!(text(&trail.stdout).contains("cohorts      1, left"), "{}", text(&trail.stdout));
    // Those who registered after a window's end may wait; of one more it is known.
    let device = json!({"provider": "apns", "token": "ab", "topic": "org.wikimedia.wikipedia"});
    assert_eq!(client.post("/v1/users/last/subscriptions", &device).await.status, 201);
    let device = json!({"provider": "fcm", "token": "phone-of-last"});
    assert_eq!(client.post("/v1/users/last/subscriptions", &device).await.status, 201);
    assert_eq!(push.terminate(), Some(0));
    let mut check = Command::new(REVEILLE);
    let checked = check.args(["check", "--config", rig.path()]).envs(cohorts).output().unwrap();
    let said = text(&checked.stdout);
    for warning in ["apns.wikipedia shows every push", "browsers may show", "cohort_floor is 2"] {
        assert!(said.contains(warning), "{said}");
    }
    assert!(said.contains("guesses right one time in"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_in_bulk_leaves_memory_flat() {
    let rig = Rig::new();
    let server = rig.start("push", "the push server is listening").await;
    let client = Client::new(&format!("http://127.0.0.1:{}", rig.ports.intake));
    let many: Vec<String> = (0..5_001).map(|number| format!("token-{number}")).collect();
    let too_many =
        json!({"deviceTokens": many, "messageType": "checkEchoV1"}).to_string().into_bytes();
    let bodies = [vec![b'['; 1_000_000], vec![0xff; 1_048_576], vec![b' '; 1_048_577], too_many];
    let round = async || {
        let mut requests = tokio::task::JoinSet::new();
        for number in 0..80 {
            let (client, body) = (client.clone(), bodies[number % bodies.len()].clone());
            requests.spawn(async move {
                client.post_raw("/v1/message/fcm", body).await.status.as_u16()
            });
        }
        requests.join_all().await
    };
    round().await;
    let before = server.resident_kib();
    for _ in 0..5 {
        let statuses = round().await;
        assert!(statuses.iter().all(|status| [400, 413, 503].contains(status)), "{statuses:?}");
    }
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more than after the first round");
    assert_eq!(client.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_stop_gives_back_what_gets_no_answer_and_the_next_start_delivers_it() {
    let rig = Rig::new();
    let _sandbox = rig.start("sandbox", "the sandbox is listening").await;
    let control = Client::new(&format!("http://127.0.0.1:{}", rig.ports.control));
    assert_eq!(control.post("/faults", &json!({"reply": "stall", "count": 3})).await.status, 201);
    let mut push = rig.start("push", "the push server is listening").await;
    let client = Client::new(&format!("http://127.0.0.1:{}", rig.ports.intake));
    let body = json!({"deviceTokens": ["a", "b", "c"], "messageType": "checkEchoV1"});
    assert_eq!(client.post("/v1/message/fcm", &body).await.status, 200);
    // A new connection sends one push before it knows how many it may: that one is in flight and stalls.
    control.get("/stats?received_min=1&wait_s=30").await;
    assert_eq!(push.terminate(), Some(0), "{:?}", push.log());
    assert_eq!(control.delete("/faults").await.status, 204);
    // A second one may have got the place the first gave up as the process ended.
    let stalled = control.get("/stats").await.json()["received"].as_u64().unwrap();
    let mut push = rig.start("push", "the push server is listening").await;
    let stats = control.get(&format!("/stats?received_min={}&wait_s=30", stalled + 3)).await.json();
    assert_eq!(
        (&stats["answers"]["200"], &stats["answers"]["stall"]),
        (&json!(3), &json!(stalled)),
        "{stats}"
    );
    assert_eq!(push.terminate(), Some(0));
}

#[tokio::test]
async fn dev_runs_everything_and_its_command_can_be_pasted() {
    let port = free_port_range(14);
    let dir = Dir::new();
    let data = dir.join("dev");
    let arguments = ["dev", "--port", &port.to_string(), "--dir", data.to_str().unwrap()];
    let mut dev = Command::new(REVEILLE)
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(dev.stdout.take().unwrap()));
    let mut said = Vec::new();
    // Up to the line after which pushes are shown.
    for line in lines.by_ref().map_while(Result::ok) {
        let is_last = line.contains("Pushes are shown here");
        said.push(line);
        if is_last {
            break;
        }
    }
    let said = said.join("\n");
    let start = said.find("curl").expect("a command to paste");
    let command = said[start..].split("\n\n").next().unwrap();
    let pasted = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(text(&pasted.stdout).contains("\"id\""), "{command}: {}", text(&pasted.stderr));
    // Everybody's phone and iPhone are woken with hers, and no browser but her own.
    let arrived: Vec<String> =
        lines.map_while(Result::ok).filter(|line| line.contains("answered")).take(41).collect();
    assert!(arrived.iter().all(|line| line.contains("checkEchoV1")), "{arrived:#?}");
    let of = |kind: &str| arrived.iter().filter(|line| line.contains(kind)).count();
    assert_eq!((of(" phone "), of(" iPhone "), of(" browser ")), (20, 20, 1), "{arrived:#?}");
    assert!(arrived.iter().any(|line| line.contains("alice    browser")));
    let asked = Command::new("kill").args(["-INT", &dev.id().to_string()]).status().unwrap();
    assert!(asked.success());
    assert_eq!(dev.wait().unwrap().code(), Some(0));
}

/// Every iPhone looks dead, as with the wrong environment: nobody is dropped, the alarm is raised, the others go on, and once it is mended a
/// word brings everything out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_that_makes_every_device_look_dead_is_undone_with_a_word() {
    let rig = Rig::new();
    let _sandbox = rig.start("sandbox", "the sandbox is listening").await;
    let _push = rig.start("push", "the push server is listening").await;
    let url = format!("http://127.0.0.1:{}", rig.ports.intake);
    let (client, control) =
        (Client::new(&url), Client::new(&format!("http://127.0.0.1:{}", rig.ports.control)));
    let fault = json!([
        {"provider": "apns", "token": "*dead", "reply": "unregistered"},
        {"provider": "apns", "reply": "invalid_token"},
    ]);
    assert_eq!(control.post("/faults", &fault).await.status, 201);
    let topic = "org.wikimedia.wikipedia";
    for user in 0..60 {
        let path = format!("/v1/users/user-{user}/subscriptions");
        let iphone = json!({"provider": "apns", "token": format!("{user:08x}"), "topic": topic});
        assert_eq!(client.post(&path, &iphone).await.status, 201);
        let phone = json!({"provider": "fcm", "token": format!("phone-{user}")});
        assert_eq!(client.post(&path, &phone).await.status, 201);
    }
    let dead = json!({"provider": "apns", "token": "0000dead", "topic": topic});
    assert_eq!(client.post("/v1/users/gone/subscriptions", &dead).await.status, 201);
    let mut users: Vec<String> = (0..60).map(|user| format!("user-{user}")).collect();
    users.push("gone".to_owned());
    let body = json!({"users": users, "type": "mention"});
    assert_eq!(client.post("/v1/notifications", &body).await.status, 202);
    // Both providers have answered everything: 61 and 60.
    control.get("/stats?received_min=121&wait_s=60").await;
    let mut held = 0;
    for _ in 0..2_000 {
        held = client.get("/v1/quarantine").await.json()["count"].as_u64().unwrap();
        if held == 60 {
            break;
        }
    }
    assert_eq!(held, 60);
    let metrics = client.get("/metrics").await.text;
    assert!(metrics.contains("reveille_drop_guard_tripped{set=\"apns.wikipedia\"} 1"), "{metrics}");
    assert!(metrics.contains("reveille_drop_guard_tripped{set=\"fcm.default\"} 0"), "{metrics}");
    assert!(metrics.contains("reveille_quarantined_devices 60"));
    for (user, devices) in [("user-7", 2), ("gone", 0)] {
        let listed = client.get(&format!("/v1/users/{user}/subscriptions")).await.json();
        assert_eq!(
            listed.as_array().unwrap().len(),
            devices,
            "only proof drops, but that does: {user}"
        );
    }

    let list = reveille(&["quarantine", "list", "--url", &url]);
    assert_eq!(text(&list.stdout).lines().count(), 60, "{}", text(&list.stderr));
    let summary = format!("60  apns.wikipedia {topic}  BadDeviceToken");
    assert!(text(&list.stderr).contains(&summary), "{}", text(&list.stderr));
    let one = text(&list.stdout).split_whitespace().next().unwrap().to_owned();
    let dropped = reveille(&["quarantine", "drop", &one, "--url", &url]);
    assert_eq!(text(&dropped.stdout), "1 dropped\n", "{}", text(&dropped.stderr));
    let unsure = reveille(&["quarantine", "drop", "--all", "--url", &url]);
    assert_eq!(unsure.status.code(), Some(4));
    assert!(text(&unsure.stderr).contains("--yes"), "{}", text(&unsure.stderr));
    // It is mended.
    control.delete("/faults").await;
    control.delete("/received").await;
    let released = reveille(&["quarantine", "release", "--set", "apns.wikipedia", "--url", &url]);
    assert_eq!(text(&released.stdout), "59 released\n", "{}", text(&released.stderr));
    let received = control.get("/received?provider=apns&received_min=59&wait_s=60").await.text;
    assert_eq!(received.lines().count(), 59, "what waited for them leaves at once");
    let list = reveille(&["quarantine", "list", "--json", "--url", &url]);
    assert_eq!(text(&list.stdout), "[]\n");
    let nobody = reveille(&["quarantine", "release", &one, "--url", &url]);
    assert!(text(&nobody.stderr).contains("none of them is in quarantine"));
}
