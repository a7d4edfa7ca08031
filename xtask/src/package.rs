//! `cargo xtask package`: a Debian package of the program, its units, rules, pages and completions.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{output, root, run, say};

/// Who is asked about the package.
const MAINTAINER: &str = "The Reveille developers <reveille@example.org>";
/// What it says of itself, as Debian has it: a line, then paragraphs.
const DESCRIPTION: &str = "self-hosted push notifications that reveal nothing
 Wakes devices through APNs, FCM and Web Push with messages that carry no
 content, collected in windows, so that whoever sees the pushes cannot tell
 who was meant. Also a session store with Kask's contract.";

/// What is done once it is unpacked: the group of the units, and a folder that it can read.
const AFTER_UNPACKING: &str = r#"#!/bin/sh
set -e
if [ "$1" = configure ]; then
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers reveille.conf
    [ -e /etc/reveille ] || install -d -m 0750 -g reveille /etc/reveille
  fi
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
  fi
fi
"#;

const UNITS: [&str; 2] = ["reveille-push.service", "reveille-sessions.service"];

/// Which program is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Profile {
    Release,
    /// As tests have it: built already, and large.
    Debug,
}

pub(crate) fn run_with(options: &[&str]) -> Result<(), String> {
    match options {
        [] => build(Profile::Release).map(drop),
        ["--debug"] => build(Profile::Debug).map(drop),
        _ => Err("cargo xtask package has one option, --debug".to_owned()),
    }
}

/// Makes the package of what the tests have built, unpacks it, and tries what is in it.
pub(crate) fn check() -> Result<(), String> {
    let package = build(Profile::Debug)?;
    let unpacked = package.with_extension("unpacked");
    output(Command::new("rm").arg("-rf").arg(&unpacked))?;
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked))?;
    let version = output(Command::new(unpacked.join("usr/bin/reveille")).arg("version"))?;
    if !version.starts_with("reveille ") {
        return Err(format!("the packed program says {version}"));
    }
    let completions = unpacked.join("usr/share/bash-completion/completions/reveille");
    output(Command::new("bash").arg("-n").arg(completions))?;
    let page = unpacked.join("usr/share/man/man1/reveille-push.1.gz");
    let page = output(Command::new("gzip").args(["--decompress", "--stdout"]).arg(page))?;
    if !page.contains(".SH OPTIONS") {
        return Err("reveille-push(1) has no options".to_owned());
    }
    let units = UNITS.map(|unit| format!("systemd/system/{unit}"));
    for file in units.iter().map(String::as_str).chain(["sysusers.d/reveille.conf"]) {
        if !unpacked.join("usr/lib").join(file).exists() {
            return Err(format!("{file} is not packed"));
        }
    }
    output(Command::new("rm").arg("-rf").arg(&unpacked).arg(&package)).map(drop)
}

fn build(profile: Profile) -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--quiet", "--locked", "-p", "reveille"]).current_dir(root());
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    run(&mut cargo)?;
    let folder = match profile {
        Profile::Release => "release",
        Profile::Debug => "debug",
    };
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let program = target.join(folder).join("reveille");
    let version = output(Command::new(&program).arg("version"))?;
    let version = version.trim().strip_prefix("reveille ").ok_or("the program says no version")?;
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let name = format!("reveille_{version}_{}", architecture.trim());
    let tree = target.join("package").join(&name);
    match std::fs::remove_dir_all(&tree) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.to_string()),
        _ => {}
    }
    fill(&tree, &program)?;
    let control = format!(
        "Package: reveille\nVersion: {version}\nArchitecture: {}\nMaintainer: {MAINTAINER}\nSection: net\nPriority: optional\nDepends: libc6 (>= 2.36), libgcc-s1\nRecommends: ca-certificates\nDescription: {DESCRIPTION}\n",
        architecture.trim()
    );
    write(&tree.join("DEBIAN/control"), &control)?;
    let after = tree.join("DEBIAN/postinst");
    write(&after, AFTER_UNPACKING)?;
    output(Command::new("chmod").arg("755").arg(&after))?;
    let package = target.join("package").join(format!("{name}.deb"));
    let mut pack = Command::new("dpkg-deb");
    if profile == Profile::Debug {
        pack.arg("-Znone");
    }
    output(pack.args(["--root-owner-group", "--build"]).arg(&tree).arg(&package))?;
    say(&package.display().to_string());
    Ok(package)
}

/// Lays out what the package has.
fn fill(tree: &Path, program: &Path) -> Result<(), String> {
    install(program, &tree.join("usr/bin/reveille"), "755")?;
    for unit in UNITS {
        let from = root().join("deploy/systemd").join(unit);
        install(&from, &tree.join("usr/lib/systemd/system").join(unit), "644")?;
    }
    let group = root().join("deploy/systemd/reveille.sysusers");
    install(&group, &tree.join("usr/lib/sysusers.d/reveille.conf"), "644")?;
    let share = tree.join("usr/share/doc/reveille");
    for (from, to) in [
        ("LICENSE", "copyright"),
        ("CHANGELOG.md", "CHANGELOG.md"),
        ("README.md", "README.md"),
        ("deploy/prometheus/rules.yml", "prometheus/rules.yml"),
        ("deploy/grafana/reveille.json", "grafana/reveille.json"),
    ] {
        install(&root().join(from), &share.join(to), "644")?;
    }
    install_pages(&root().join("docs"), &share.join("docs"))?;
    let man = tree.join("usr/share/man/man1");
    output(Command::new(program).arg("man").arg(&man))?;
    for page in std::fs::read_dir(&man).map_err(|error| error.to_string())?.filter_map(Result::ok) {
        output(Command::new("gzip").args(["--best", "--no-name"]).arg(page.path()))?;
    }
    for (shell, to) in [
        ("bash", "usr/share/bash-completion/completions/reveille"),
        ("zsh", "usr/share/zsh/vendor-completions/_reveille"),
        ("fish", "usr/share/fish/vendor_completions.d/reveille.fish"),
    ] {
        let script = output(Command::new(program).args(["completions", shell]))?;
        write(&tree.join(to), &script)?;
    }
    Ok(())
}

/// The pages of a folder, and of those inside it.
fn install_pages(from: &Path, to: &Path) -> Result<(), String> {
    let pages = std::fs::read_dir(from).map_err(|error| error.to_string())?;
    for page in pages.filter_map(Result::ok).map(|entry| entry.path()) {
        let to = to.join(page.file_name().unwrap_or_default());
        if page.is_dir() {
            install_pages(&page, &to)?;
        } else if page.extension().is_some_and(|end| end == "md") {
            install(&page, &to, "644")?;
        }
    }
    Ok(())
}

fn install(from: &Path, to: &Path, mode: &str) -> Result<(), String> {
    let mut install = Command::new("install");
    output(install.args(["-D", "-m", mode]).arg(from).arg(to)).map(drop)
}

fn write(to: &Path, text: &str) -> Result<(), String> {
    let folder = to.parent().ok_or("a file without a folder")?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(to, text))
        .map_err(|error| format!("{}: {error}", to.display()))
}
