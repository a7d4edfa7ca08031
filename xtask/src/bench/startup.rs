//! How soon a server is there, and how big it is.

use super::report::{Limit, Row, median};
use super::rig::{More, Rig, now};

const RUNS: usize = 7;

pub(super) fn measure(rig: &Rig) -> Result<Vec<Row>, String> {
    let config = rig.config(3_600, &More::default())?;
    // The first start creates the database; what is asked for is a restart.
    drop(rig.push(&config)?);
    let mut starts = Vec::new();
    for _ in 0..RUNS {
        let begun = now();
        let push = rig.push(&config)?;
        starts.push(begun.elapsed().as_secs_f64() * 1_000.0);
        drop(push);
    }
    let bytes = std::fs::metadata(&rig.reveille).map_err(|error| error.to_string())?.len();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let megabytes = bytes as f64 / 1e6;
    Ok(vec![
        Row {
            what: "start of `reveille push` until it listens".to_owned(),
            figure: median(starts),
            unit: "ms",
            limit: Some(Limit::AtMost(100.0)),
            peer: None,
            note: format!("median of {RUNS}, each after a `kill -9`"),
        },
        Row {
            what: "size of the binary".to_owned(),
            figure: megabytes,
            unit: "MB",
            limit: Some(Limit::AtMost(40.0)),
            peer: None,
            note: "stripped; all commands in one".to_owned(),
        },
    ])
}
