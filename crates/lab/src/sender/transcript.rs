//! What is seen of one event's window, and what it is drawn with.

use reveille_model::Rng;

use crate::population::Population;
use crate::sender::Sender;

/// One push.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Push {
    /// To whom.
    pub(crate) device: usize,
    /// How many seconds after the event; zero where all of a batch leaves at one moment.
    pub(crate) after_s: f64,
}

/// A timer that was armed by a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Timer {
    /// How long it ran, in seconds.
    pub(crate) length_s: f64,
    /// Which share of it had passed when the event came.
    pub(crate) passed: f64,
}

/// What is seen.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// The pushes, in the order in which they left.
    pub(crate) pushes: Vec<Push>,
    /// The timer, where there is one.
    pub(crate) timer: Option<Timer>,
    /// The mixer's sort keys in the order of arrival, where it shuffled.
    pub(crate) keys: Vec<i64>,
}

impl Transcript {
    pub(crate) fn clear(&mut self) {
        self.pushes.clear();
        self.keys.clear();
        self.timer = None;
    }
}

/// What a trial draws with.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The generator of the trial.
    pub(crate) rng: Rng,
    /// How long timers run in this trial, in seconds; drawn by the first snapshot that wants it.
    pub(crate) timer_s: Option<f64>,
    stamps: Vec<u32>,
    stamp: u32,
}

impl Bench {
    pub(crate) fn new(devices: usize) -> Self {
        Self { rng: Rng::from_number(0), timer_s: None, stamps: vec![0; devices], stamp: 0 }
    }

    /// Another trial.
    pub(crate) fn begin(&mut self, rng: Rng) {
        self.rng = rng;
        self.timer_s = None;
    }

    /// Leaves the first of equal devices.
    pub(crate) fn keep_first(&mut self, devices: &mut Vec<usize>) {
        if self.stamp == u32::MAX {
            self.stamps.fill(0);
            self.stamp = 0;
        }
        self.stamp += 1;
        let stamp = self.stamp;
        let stamps = &mut self.stamps;
        devices.retain(|device| {
            stamps.get_mut(*device).is_some_and(|last| std::mem::replace(last, stamp) != stamp)
        });
    }
}

impl Sender {
    /// What is seen around one event of the target.
    pub(crate) fn snapshot(
        &self,
        population: &Population,
        target: usize,
        bench: &mut Bench,
        transcript: &mut Transcript,
    ) {
        transcript.clear();
        match self {
            Self::Window(sender) => sender.snapshot(population, target, bench, transcript),
            Self::Comparison(sender) => sender.snapshot(population, target, bench, transcript),
        }
    }
}
