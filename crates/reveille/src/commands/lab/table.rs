//! `reveille lab table`: designs compared, cohorts proposed, the reference point checked.

use anyhow::Context as _;
use reveille_lab::{Figure, Picture, Plan, Proposal, Row, Setting, SettingError};
use reveille_model::Duration;

use super::bar::Bar;
use super::output::{put, threads, write};
use super::{json, text};
use crate::cli::TableArguments;
use crate::failure::Failure;

/// A table and what follows from it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) plan: Plan,
    pub(super) rows: Vec<Row>,
    pub(super) proposal: Proposal,
    /// Nothing unless it was asked for.
    pub(super) figures: Vec<Figure>,
}

pub(crate) fn table(arguments: &TableArguments) -> Result<(), Failure> {
    let plan = if arguments.check {
        reveille_lab::reference_point(arguments.trials, arguments.run.seed, threads(&arguments.run))
    } else {
        plan(arguments)?
    };
    let bar = Bar::new("watching");
    let rows = reveille_lab::table(&plan, &|done, total| bar.show(done, total))
        .map_err(|error| usage(&error))?;
    drop(bar);
    let proposal = reveille_lab::propose(&plan.setting, plan.per_day, plan.seed)
        .map_err(|error| usage(&error))?;
    let figures = if arguments.check { reveille_lab::judge(&rows) } else { Vec::new() };
    let result = Outcome { plan, rows, proposal, figures };
    put(&arguments.run, &text::table(&result), &json::table(&result))?;
    if let Some(folder) = &arguments.plots {
        let made = std::fs::create_dir_all(folder);
        made.with_context(|| format!("cannot create {}", folder.display()))?;
        for picture in Picture::ALL {
            let file = folder.join(picture.name());
            let svg = reveille_lab::svg(picture, &result.rows)?;
            write(&file.with_extension("svg"), svg.as_bytes())?;
            let png = reveille_lab::png(picture, &result.rows)?;
            write(&file.with_extension("png"), &png)?;
        }
    }
    let wrong = result.figures.iter().filter(|figure| !figure.is_ok()).count();
    if wrong > 0 {
        let of = result.figures.len();
        return Err(anyhow::anyhow!("{wrong} of {of} figures are not as they should be").into());
    }
    Ok(())
}

fn plan(arguments: &TableArguments) -> Result<Plan, Failure> {
    let setting = Setting {
        devices: arguments.devices,
        rate: arguments.rate,
        sigma: arguments.sigma,
        mean_delay: milliseconds(arguments.mean_delay)?,
    };
    let mut designs = arguments.designs.clone();
    let mut known = std::collections::BTreeSet::new();
    designs.retain(|design| known.insert(*design));
    Ok(Plan {
        setting,
        designs,
        events: arguments.events.clone(),
        trials: arguments.trials,
        seed: arguments.run.seed,
        threads: threads(&arguments.run),
        per_day: arguments.wakeups_per_day,
        counted: Vec::new(),
    })
}

fn milliseconds(seconds: f64) -> Result<Duration, Failure> {
    let length = std::time::Duration::try_from_secs_f64(seconds);
    let ms = length.ok().and_then(|length| u64::try_from(length.as_millis()).ok());
    ms.map(Duration::from_ms).ok_or_else(|| usage(&SettingError::MeanDelay))
}

fn usage(error: &SettingError) -> Failure {
    Failure::Usage(error.to_string())
}
