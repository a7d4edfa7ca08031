//! Trials on all cores, each with a stream of its own, so that the number of threads changes nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use reveille_mixer::order_rho;
use reveille_model::Rng;

use crate::population::Population;
use crate::posterior::{Tally, Verdict, verdict};
use crate::sender::{Bench, Transcript};
use crate::world::World;

/// Hears how many of how many steps are done, from any thread.
pub type Progress<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// Does `count` things on so many threads; their results, in order. Each thread has a state of its own, which must not matter.
pub(crate) fn parallel<T: Send, S>(
    count: usize,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let (mut state, mut done) = (state(), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return done;
            }
            done.push((number, work(&mut state, number)));
        }
    };
    let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
        let threads = threads.clamp(1, count.max(1));
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let finished = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
        finished
            .flat_map(|done| done.unwrap_or_else(|cause| std::panic::resume_unwind(cause)))
            .collect()
    });
    results.sort_unstable_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What one target's trial gave.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// After each of the numbers of events.
    pub(crate) verdicts: Vec<Verdict>,
    /// How the order of departure followed that of arrival in the first batch, where the mixer shuffled.
    pub(crate) rho: Option<f64>,
}

/// The state of a thread.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) bench: Bench,
    pub(crate) transcript: Transcript,
    pub(crate) tally: Tally,
}

impl Desk {
    pub(crate) fn new(devices: usize) -> Self {
        Self {
            bench: Bench::new(devices),
            transcript: Transcript::default(),
            tally: Tally::new(devices),
        }
    }
}

/// Watches one target. `events` are the numbers of events to look after, the fewest first.
pub(crate) fn trial(
    world: &World,
    population: &Population,
    events: &[usize],
    desk: &mut Desk,
    rng: Rng,
) -> Trial {
    let Desk { bench, transcript, tally } = desk;
    bench.begin(rng);
    tally.clear();
    let target = population.draw_target(&mut bench.rng);
    let (mut seen, mut rho) = (0, None);
    let verdicts = events.iter().map(|count| {
        while seen < *count {
            world.sender.snapshot(population, target, bench, transcript);
            world.watcher.observe(transcript, tally);
            if seen == 0 {
                rho = order_rho(&transcript.keys);
            }
            seen += 1;
        }
        verdict(&world.watcher.prior, tally, &[target])
    });
    let verdicts = verdicts.collect();
    Trial { verdicts, rho }
}

#[cfg(test)]
mod tests {
    use super::parallel;

    #[test]
    fn results_are_in_order_whoever_made_them() {
        for threads in [1, 2, 7] {
            let squares = parallel(100, threads, || 0, |_, number| number * number);
            assert_eq!(squares, (0..100).map(|number| number * number).collect::<Vec<_>>());
        }
        assert!(parallel(0, 4, || (), |(), number| number).is_empty());
    }
}
