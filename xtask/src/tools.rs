//! Tools that tests and benchmarks use, installed where they may be: Debian packages as root, Python packages in a folder of ours.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{root, run, succeeds};

/// What the independent peers are made of.
const PYTHON_PACKAGES: [&str; 8] = [
    "h2==4.3.0",
    "PyJWT==2.10.1",
    "cryptography==46.0.3",
    "http-ece==1.2.1",
    "py-vapid==1.9.6",
    "standardwebhooks==1.1.0",
    "websocket-client==1.9.0",
    "schemathesis==4.32.5",
];
/// What they import, all of it or not at all.
const PYTHON_IMPORTS: &str =
    "import h2, jwt, cryptography, http_ece, py_vapid, standardwebhooks, websocket, schemathesis";

/// What a wiki on a file needs of PHP.
const PHP_NEEDS: &str = "exit(extension_loaded('pdo_sqlite') ? 0 : 1);";

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
        mediawiki.join("api.php").exists() && succeeds(Command::new("php").args(["-r", PHP_NEEDS]))
    };
    if !is_there() {
        debian("mediawiki")?;
        debian("php-cli")?;
        debian("php-sqlite3")?;
    }
    if is_there() {
        Ok(mediawiki)
    } else {
        Err("it was installed and PHP lacks pdo_sqlite".to_owned())
    }
}

/// The server of `MariaDB`.
pub(crate) fn mariadb() -> Result<PathBuf, String> {
    let mariadb = PathBuf::from("/usr/sbin/mariadbd");
    if !mariadb.exists() {
        debian("mariadb-server")?;
    }
    Ok(mariadb)
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
    let is_root =
        crate::process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
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
