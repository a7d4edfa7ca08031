//! Where the time goes: a flame graph of `reveille push` while it delivers to FCM.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::process::{Command, Stdio};

use inferno::collapse::Collapse as _;

use super::delivery::drained;
use super::report::Row;
use super::rig::{More, Provider, Rig};
use crate::process::{root, run};

const WAKEUPS: usize = 200_000;
/// Frames narrower than this part of the picture are left out, in percent.
const WIDTH_MIN: f64 = 0.3;

pub(super) fn draw() -> Result<Vec<Row>, String> {
    crate::tools::perf()?;
    // A build of its own: stacks are found by frame pointers.
    let target = root().join("target/profile");
    run(Command::new("cargo")
        .args(["build", "--profile", "profiling", "--quiet", "-p", "reveille", "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "-Cforce-frame-pointers=yes")
        .env("CFLAGS", "-fno-omit-frame-pointer")
        .current_dir(root()))?;
    let rig = Rig::of(&target.join("profiling"));
    let config = rig.config(8, &More::default())?;
    let sandbox = rig.sandbox(&config)?;
    let push = rig.push(&config)?;
    config.fill(Provider::Fcm, (0, WAKEUPS))?;
    let data = config.file.with_file_name("perf.data");
    let mut recording = Command::new("perf")
        .args(["record", "-q", "-F", "499", "-g", "-p", &push.id().to_string(), "-o"])
        .arg(&data)
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start perf: {error}"))?;
    drained(&config, WAKEUPS)?;
    drop((push, sandbox));
    recording.wait().map_err(|error| error.to_string())?;
    flame_graph(&data)?;
    Ok(Vec::new())
}

fn flame_graph(data: &std::path::Path) -> Result<(), String> {
    let mut script = Command::new("perf")
        .args(["script", "-i"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start perf: {error}"))?;
    let stacks = script.stdout.take().ok_or("perf prints nothing")?;
    let mut folded = Vec::new();
    inferno::collapse::perf::Folder::default()
        .collapse(BufReader::new(stacks), &mut folded)
        .map_err(|error| error.to_string())?;
    script.wait().map_err(|error| error.to_string())?;
    let folded = String::from_utf8_lossy(&folded);
    let mut options = inferno::flamegraph::Options::default();
    "reveille push, delivering to FCM".clone_into(&mut options.title);
    options.min_width = WIDTH_MIN;
    options.no_javascript = true;
    let path = root().join("docs/pictures/delivery.svg");
    let file = File::create(&path).map_err(|error| error.to_string())?;
    inferno::flamegraph::from_lines(&mut options, folded.lines(), BufWriter::new(file))
        .map_err(|error| error.to_string())
}
