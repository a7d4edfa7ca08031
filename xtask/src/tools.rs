//! Tools that tests and benchmarks use, installed where they may be: Debian packages as root, Python packages and jars in folders of ours.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{output, root, run, succeeds};

/// What the independent peers are made of.
const PYTHON_PACKAGES: [&str; 10] = [
    "h2==4.3.0",
    "PyJWT==2.10.1",
    "cryptography==46.0.3",
    "http-ece==1.2.1",
    "py-vapid==1.9.6",
    "standardwebhooks==1.1.0",
    "websocket-client==1.9.0",
    "schemathesis==4.32.5",
    "kubernetes-validate==1.37.0",
    "opentelemetry-proto==1.45.2",
];
/// What they import, all of it or not at all.
const PYTHON_IMPORTS: &str = "import h2, jwt, cryptography, http_ece, py_vapid, standardwebhooks, websocket, schemathesis, kubernetes_validate, opentelemetry.proto.collector.trace.v1.trace_service_pb2";

/// What the types of the client for browsers are checked with.
const TYPESCRIPT: &str = "7.0.2";
/// What says whether a page is accessible.
const AXE: &str = "4.14.1";

/// What a wiki on a file needs of PHP, and what its client of a session store needs.
const WIKI_NEEDS: &str =
    "exit(extension_loaded('pdo_sqlite') && extension_loaded('curl') ? 0 : 1);";
/// What the client in PHP needs.
const PHP_NEEDS: &str = "exit(extension_loaded('curl') ? 0 : 1);";

/// The release of mdBook that the book is made with.
const MDBOOK: &str = "0.5.4";

/// The Java releases Cassandra 5.0 runs on.
const JAVA_RELEASES: [&str; 2] = ["11", "17"];

/// A Python with the packages of the independent peers.
pub(crate) fn python() -> Result<PathBuf, String> {
    let folder = root().join("target/tools/python");
    let python = folder.join("bin/python");
    let is_there = || succeeds(Command::new(&python).args(["-c", PYTHON_IMPORTS]));
    if is_there() {
        return Ok(python);
    }
    // One that was set up when fewer packages were needed gets the rest.
    if !succeeds(Command::new(&python).args(["-m", "pip", "--version"])) {
        if !succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
            debian("python3-venv")?;
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    }
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(PYTHON_PACKAGES))?;
    if is_there() {
        Ok(python)
    } else {
        Err("the Python packages were installed and cannot be imported".to_owned())
    }
}

/// `h2load`, the load generator.
pub(crate) fn h2load() -> Result<(), String> {
    if succeeds(Command::new("h2load").arg("--version")) {
        Ok(())
    } else {
        debian("nghttp2-client")
    }
}

/// A browser.
pub(crate) fn chromium() -> Result<PathBuf, String> {
    let chromium = PathBuf::from("/usr/bin/chromium");
    if !chromium.exists() {
        debian("chromium")?;
    }
    Ok(chromium)
}

/// A `MediaWiki`, to be run by PHP's own server.
pub(crate) fn mediawiki() -> Result<PathBuf, String> {
    let mediawiki = PathBuf::from("/usr/share/mediawiki");
    let is_there = || {
        mediawiki.join("api.php").exists() && succeeds(Command::new("php").args(["-r", WIKI_NEEDS]))
    };
    if !is_there() {
        debian("mediawiki")?;
        debian("php-cli")?;
        debian("php-sqlite3")?;
        debian("php-curl")?;
    }
    if is_there() {
        Ok(mediawiki)
    } else {
        Err("it was installed and PHP lacks pdo_sqlite or curl".to_owned())
    }
}

/// A PHP with the extension curl.
pub(crate) fn php() -> Result<PathBuf, String> {
    let php = PathBuf::from("/usr/bin/php");
    let is_there = || succeeds(Command::new(&php).args(["-r", PHP_NEEDS]));
    if !is_there() {
        debian("php-cli")?;
        debian("php-curl")?;
    }
    if is_there() { Ok(php) } else { Err("PHP was installed and lacks curl".to_owned()) }
}

/// The folder of packages of npm: the compiler of TypeScript, and axe-core, which a browser runs.
pub(crate) fn node() -> Result<PathBuf, String> {
    let folder = root().join("target/tools/node");
    let compiler = folder.join("node_modules/.bin/tsc");
    let axe = folder.join("node_modules/axe-core/package.json");
    let is_there = || {
        let version = output(Command::new(&compiler).arg("--version"));
        let has_axe = std::fs::read_to_string(&axe).is_ok_and(|text| text.contains(AXE));
        version.is_ok_and(|version| version.trim().ends_with(TYPESCRIPT)) && has_axe
    };
    if is_there() {
        return Ok(folder);
    }
    if !succeeds(Command::new("npm").arg("--version")) {
        debian("npm")?;
    }
    let mut install = Command::new("npm");
    install.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
    let packages = [format!("typescript@{TYPESCRIPT}"), format!("axe-core@{AXE}")];
    run(install.arg("--prefix").arg(&folder).args(packages))?;
    if is_there() {
        Ok(folder)
    } else {
        Err("packages of npm were installed and are not to be used".to_owned())
    }
}

/// What looks at units of systemd.
pub(crate) fn systemd() -> Result<PathBuf, String> {
    let analyze = PathBuf::from("/usr/bin/systemd-analyze");
    if !analyze.exists() {
        debian("systemd")?;
    }
    Ok(analyze)
}

/// What makes a Debian package and unpacks it: part of Debian itself, so that there is nothing to install.
pub(crate) fn dpkg() -> Result<(), String> {
    if succeeds(Command::new("dpkg-deb").arg("--version")) {
        Ok(())
    } else {
        Err("there is no dpkg-deb here".to_owned())
    }
}

/// A Prometheus, and what the commands of the runbook and the book need besides.
pub(crate) fn prometheus() -> Result<PathBuf, String> {
    let prometheus = PathBuf::from("/usr/bin/prometheus");
    if !prometheus.exists() {
        debian("prometheus")?;
    }
    for (program, option) in
        [("curl", "--version"), ("sqlite3", "--version"), ("openssl", "version")]
    {
        if !succeeds(Command::new(program).arg(option)) {
            debian(program)?;
        }
    }
    Ok(prometheus)
}

/// The server of `MariaDB`, and what a cluster of several is made of.
pub(crate) fn mariadb() -> Result<PathBuf, String> {
    let mariadb = PathBuf::from("/usr/sbin/mariadbd");
    if !mariadb.exists() {
        debian("mariadb-server")?;
    }
    if !Path::new("/usr/lib/libgalera_smm.so").exists() {
        debian("galera-4")?;
    }
    if !succeeds(Command::new("rsync").arg("--version")) {
        debian("rsync")?;
    }
    // For networks that are cut.
    if !succeeds(Command::new("ip").arg("-V")) {
        debian("iproute2")?;
    }
    Ok(mariadb)
}

/// The folder of jars of an Apache Cassandra, of the release that `xtask/cassandra/pom.xml` names. Java runs it.
pub(crate) fn cassandra() -> Result<PathBuf, String> {
    java()?;
    let pinned = root().join("xtask/cassandra/pom.xml");
    let pom = read(&pinned)?;
    let folder = root().join("target/tools/cassandra");
    // The pom comes with the jars: those of another release are replaced.
    if read(&folder.join("pom.xml")).is_ok_and(|there| there == pom) {
        return Ok(folder.join("jars"));
    }
    if !succeeds(Command::new("mvn").arg("--version")) {
        debian("maven")?;
    }
    // Beside it, and renamed once it is whole.
    let part = root().join("target/tools/cassandra.part");
    remove(&part)?;
    let failed = |error: std::io::Error| format!("{}: {error}", part.display());
    std::fs::create_dir_all(&part).map_err(failed)?;
    std::fs::write(part.join("pom.xml"), pom).map_err(failed)?;
    run(Command::new("mvn")
        .args(["--quiet", "--batch-mode", "--strict-checksums", "dependency:copy-dependencies"])
        .current_dir(&part))?;
    remove(&folder)?;
    std::fs::rename(&part, &folder).map_err(failed)?;
    Ok(folder.join("jars"))
}

/// A Java that Cassandra runs on.
fn java() -> Result<(), String> {
    let version = || output(Command::new("java").arg("--version"));
    let found =
        version().or_else(|_| debian("openjdk-17-jre-headless").and_then(|()| version()))?;
    // As in `openjdk 17.0.15 2025-04-15`.
    let release = found.split([' ', '.']).nth(1).unwrap_or_default();
    if JAVA_RELEASES.contains(&release) {
        Ok(())
    } else {
        Err(format!("Java {} is needed and `java` is {release}", JAVA_RELEASES.join(" or ")))
    }
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// mdBook, which makes the book of `docs/`.
pub(crate) fn mdbook() -> Result<PathBuf, String> {
    let folder = root().join("target/tools/mdbook");
    let mdbook = folder.join("bin/mdbook");
    let is_there = || {
        output(Command::new(&mdbook).arg("--version"))
            .is_ok_and(|version| version.trim().trim_start_matches("mdbook v") == MDBOOK)
    };
    if !is_there() {
        let mut install = Command::new("cargo");
        install
            .args(["install", "--quiet", "--locked", "--debug", "--force", "--root"])
            .arg(&folder);
        // Without what serves and watches: nobody looks at it while it is written.
        install.args(["--no-default-features", "--features", "search"]);
        run(install.arg(format!("mdbook@{MDBOOK}")))?;
    }
    Ok(mdbook)
}

/// `strace`, which counts system calls.
pub(crate) fn strace() -> Result<(), String> {
    if succeeds(Command::new("strace").arg("-V")) { Ok(()) } else { debian("strace") }
}

/// `perf`, the profiler.
pub(crate) fn perf() -> Result<(), String> {
    if succeeds(Command::new("perf").arg("--version")) { Ok(()) } else { debian("linux-perf") }
}

/// Installs a Debian package, if we are root on Debian.
fn debian(package: &str) -> Result<(), String> {
    let is_root = output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !is_root || !succeeds(Command::new("apt-get").arg("--version")) {
        return Err(format!(
            "the Debian package {package} is needed; install it, or run this as root on Debian"
        ));
    }
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends", package]);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    if !succeeds(&mut install) {
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        run(&mut install)?;
    }
    Ok(())
}
