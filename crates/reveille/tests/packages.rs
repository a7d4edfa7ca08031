//! What machines are given to run it: units of systemd, manifests for Kubernetes, and what a process tells whoever has started it.
#![cfg(test)]

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reveille_push::PushConfig;
use reveille_sandbox::init;
use reveille_service::config::Document;
use reveille_sessions::SessionsConfig;
use reveille_testkit::{Dir, Server, free_ports, needs_all, python, systemd};

const REVEILLE: &str = env!("CARGO_BIN_EXE_reveille");
const UNITS: [&str; 2] = ["reveille-push.service", "reveille-sessions.service"];
/// The most a unit may be exposed, of ten; docs/operations.md says what it is.
const EXPOSURE_MAX: f64 = 1.1;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn units_are_sound_and_hardly_exposed() {
    let Some(analyze) = systemd() else {
        println!("{}", needs_all("the units of systemd"));
        return;
    };
    let dir = Dir::new();
    for unit in UNITS {
        let text = std::fs::read_to_string(root().join("deploy/systemd").join(unit)).unwrap();
        assert!(text.contains("ExecStart=/usr/bin/reveille "), "{unit}");
        assert!(text.contains("ExecReload=/bin/kill -HUP $MAINPID"), "{unit}");
        // By this group it reads its secrets.
        assert!(
            text.contains("\nDynamicUser=yes\n") && text.contains("\nGroup=reveille\n"),
            "{unit}"
        );
        // There is none at this place here.
        let file = dir.join(unit);
        std::fs::write(&file, text.replace("/usr/bin/reveille", REVEILLE)).unwrap();
        let verified = Command::new(&analyze).arg("verify").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && said.is_empty(), "{unit}: {said}");
        let mut security = Command::new(&analyze);
        security.args(["security", "--offline=true", "--no-pager"]).arg(&file);
        let said = String::from_utf8_lossy(&security.output().unwrap().stdout).into_owned();
        let exposure = said.split("exposure level for").nth(1).unwrap_or_else(|| panic!("{said}"));
        let exposure = exposure.split_whitespace().find_map(|word| word.parse::<f64>().ok());
        assert!(exposure.is_some_and(|exposure| exposure <= EXPOSURE_MAX), "{unit}: {exposure:?}");
    }
}

const MANIFESTS: [&str; 2] = ["push.yaml", "sessions.yaml"];

#[test]
fn manifests_fit_the_schemas_of_kubernetes() {
    let Some(python) = python() else {
        println!("{}", needs_all("the manifests for Kubernetes"));
        return;
    };
    for manifest in MANIFESTS {
        let file = root().join("deploy/kubernetes").join(manifest);
        let mut validate = Command::new(Path::new(&python).with_file_name("kubernetes-validate"));
        let validated = validate.arg("--strict").arg(file).output().unwrap();
        let said = String::from_utf8_lossy(&validated.stdout);
        assert!(validated.status.success(), "{said}{}", String::from_utf8_lossy(&validated.stderr));
    }
}

/// The configuration in a manifest.
fn configuration(manifest: &str) -> String {
    let text = std::fs::read_to_string(root().join("deploy/kubernetes").join(manifest)).unwrap();
    let (_, rest) = text.split_once("reveille.toml: |\n").unwrap();
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
}

/// All that is wrong with it here is that its secrets are not there.
#[test]
fn configurations_in_manifests_are_understood() {
    let [push, sessions] = MANIFESTS.map(configuration);
    let document = Document::parse(&push, PathBuf::new()).unwrap();
    drop(PushConfig::read(&document));
    let problems = document.problems().take();
    let is_missing = |what: &str| what.contains("/etc/reveille/secrets/");
    assert!(problems.iter().all(|problem| is_missing(&problem.to_string())), "{problems:?}");
    assert!(!problems.is_empty(), "they are not there");
    let document = Document::parse(&sessions, PathBuf::new()).unwrap();
    drop(SessionsConfig::read(&document));
    assert_eq!(document.problems().take(), []);
}

/// What a process says to whoever has started it.
struct Told(UnixDatagram);

impl Told {
    fn next(&self) -> String {
        let mut buffer = [0; 256];
        let length = self.0.recv(&mut buffer).expect("it says something");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_started_it_hears_that_it_listens_lives_and_stops() {
    let dir = Dir::new();
    let config = init(&dir.join("rig"), free_ports(), 1).unwrap();
    let socket = dir.join("notify");
    let told = Told(UnixDatagram::bind(&socket).unwrap());
    told.0.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let environment = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let words = ["push", "--config", config.to_str().unwrap()];
    let mut server = Server::start_with(Path::new(REVEILLE), &words, &environment);
    assert_eq!(told.next(), "READY=1");
    let log = server.log().join("\n");
    assert!(log.contains("the push server is listening"), "not before it listens: {log}");
    for _ in 0..3 {
        assert_eq!(told.next(), "WATCHDOG=1");
    }
    server.signal("HUP");
    let mut others = std::iter::repeat_with(|| told.next()).filter(|said| said != "WATCHDOG=1");
    let reloading = others.next().unwrap();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(since.is_some_and(|since| since.parse::<u64>().is_ok()), "{reloading}");
    assert_eq!(others.next().as_deref(), Some("READY=1"), "its files were read");
    assert_eq!(server.terminate(), Some(0));
    let last = std::iter::repeat_with(|| told.next()).find(|said| said != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
}
