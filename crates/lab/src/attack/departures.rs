//! Which pushes left together, as far as the log shows: a pause parts one departure from the next.

use super::trace::Trace;

/// Runs of pushes that left together. Each push belongs to exactly one.
#[derive(Debug)]
pub(super) struct Departures {
    /// Where each begins and ends, by the places of pushes in the log.
    pub(super) runs: Vec<Run>,
}

/// Pushes from one place of the log up to, not including, another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
}

/// What a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A pause before and after, and shorter than half of the longest delay: a batch.
    Batch,
    /// Part of a stream without pauses: the pushes of one moment, and nothing is known of their company.
    Stream,
}

impl Departures {
    /// Pushes that follow one another by no more than `together` leave together.
    pub(super) fn new(trace: &Trace, together: i64, max_delay: i64) -> Self {
        let mut runs = Vec::new();
        let mut start = 0;
        for run in trace.pushes.chunk_by(|left, right| right.0 - left.0 <= together) {
            let lasted = run.first().zip(run.last()).map_or(0, |(first, last)| last.0 - first.0);
            if lasted <= max_delay / 2 {
                runs.push(Run { start, end: start + run.len(), kind: Kind::Batch });
                start += run.len();
                continue;
            }
            for moment in run.chunk_by(|left, right| left.0 == right.0) {
                runs.push(Run { start, end: start + moment.len(), kind: Kind::Stream });
                start += moment.len();
            }
        }
        Self { runs }
    }
}
