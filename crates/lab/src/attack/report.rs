//! The whole attack, and what it gives.

use super::accounts::{accounts, sample};
use super::departures::Departures;
use super::history::{History, history};
use super::logs::{Event, Owner, Push, TIME_MAX};
use super::order::{Order, order};
use super::score::{Desk, Scorer};
use super::trace::Trace;
use crate::posterior::{Prior, Verdict};
use crate::statistics::{mean, quantile};
use crate::trials::{Progress, parallel};

/// Pauses longer than this share of the longest delay part departures, unless told otherwise.
const TOGETHER_SHARE: i64 = 20;

/// How to attack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttackSettings {
    /// A push comes at most so long after its event, in the unit of the logs.
    pub max_delay: i64,
    /// Pushes that follow one another by no more than this left together; nothing for a twentieth of the longest delay. Who hides among whom
    /// and the order of departure depend on it, success does not.
    pub together: Option<i64>,
    /// After how many events of an account to look.
    pub events: Vec<usize>,
    /// At most so many accounts, drawn; nothing for all.
    pub accounts: Option<usize>,
    /// Names what is drawn.
    pub seed: u64,
    /// On how many threads. It changes nothing but the time it takes.
    pub threads: usize,
}

impl AttackSettings {
    /// The usual numbers of events, all accounts, one thread.
    pub fn new(max_delay: i64) -> Self {
        let events = vec![1, 2, 3, 5, 10, 20];
        Self { max_delay, together: None, events, accounts: None, seed: 1, threads: 1 }
    }
}

/// What an observer of the logs finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Attack {
    /// Devices that were pushed: the candidates.
    pub devices: usize,
    /// Pushes.
    pub pushes: usize,
    /// Accounts that were attacked.
    pub accounts: usize,
    /// Of these, accounts none of whose devices was ever pushed. They count as not found.
    pub unpushed: usize,
    /// After each number of events that any account has.
    pub points: Vec<Point>,
    /// Which devices cannot be told apart.
    pub history: History,
    /// Whether departure follows arrival; nothing where the log has no batch that tells.
    pub order: Option<Order>,
}

/// How far the observer has come after the first events of accounts. Chances are shares of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// After so many events.
    pub events: usize,
    /// Accounts with as many.
    pub accounts: usize,
    /// The chance of the best guess, as far as the observer can tell: the mean of the largest posterior.
    pub top1: f64,
    /// Its standard error.
    pub top1_error: f64,
    /// How often the best guess was right; where several are best, the share of them that are.
    pub hit: f64,
    /// Its standard error.
    pub hit_error: f64,
    /// Among how many devices the account's is hidden: 2 to the power of the entropy, as a geometric mean.
    pub eas: f64,
    /// Where the account's device is among the candidates: the median over accounts.
    pub rank: f64,
}

/// Why there is nothing to attack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttackError {
    /// A delay that is none.
    #[error("the longest delay must be above 0, in the unit of the logs' times")]
    MaxDelay,
    /// A pause that is none.
    #[error("the pause that parts departures must not be negative")]
    Together,
    /// Times that cannot be added.
    #[error("a time is too far from zero; count from a later moment")]
    Times,
    /// No numbers of events.
    #[error("the numbers of events must be above 0, at least one of them")]
    Events,
    /// Nobody was pushed.
    #[error("there is no push in the log")]
    Pushes,
    /// Nobody to attack.
    #[error(
        "no account has both an owner's line in the truth and as many events as the fewest asked for; are the names the same in all files?"
    )]
    Accounts,
}

/// Attacks the accounts of the truth. Equal arguments give equal results.
pub fn attack(
    events: &[Event],
    pushes: &[Push],
    truth: &[Owner],
    settings: &AttackSettings,
    progress: &Progress<'_>,
) -> Result<Attack, AttackError> {
    let numbers = numbers(events, pushes, settings)?;
    let fewest = numbers.first().copied().unwrap_or_default();
    let together = settings.together.unwrap_or(settings.max_delay / TOGETHER_SHARE);
    let trace = Trace::new(pushes);
    let accounts = accounts(events, truth, &trace);
    let departures = Departures::new(&trace, together, settings.max_delay);
    let enough: Vec<_> =
        accounts.iter().filter(|account| account.events.len() >= fewest).cloned().collect();
    let chosen = sample(&enough, settings.accounts.unwrap_or(usize::MAX), settings.seed);
    if chosen.is_empty() {
        return Err(AttackError::Accounts);
    }
    let scorer = Scorer {
        log_chances: trace.log_chances(&departures, settings.max_delay),
        prior: Prior::uniform(trace.devices()),
        max_delay: settings.max_delay,
        trace: &trace,
    };
    let done = std::sync::atomic::AtomicUsize::new(0);
    let verdicts = parallel(
        chosen.len(),
        settings.threads,
        || Desk::new(trace.devices()),
        |desk, place| {
            let account = chosen.get(place);
            let verdicts =
                account.map(|account| scorer.account(place + 1, account, &numbers, desk));
            let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            progress(done, chosen.len());
            verdicts.unwrap_or_default()
        },
    );
    let points = numbers.iter().enumerate().map(|(place, count)| point(*count, place, &verdicts));
    Ok(Attack {
        devices: trace.devices(),
        pushes: trace.pushes.len(),
        accounts: chosen.len(),
        unpushed: chosen.iter().filter(|account| account.devices.is_empty()).count(),
        points: points.filter(|point| point.accounts > 0).collect(),
        history: history(&trace, &departures),
        order: order(&trace, &departures, &accounts, settings.max_delay),
    })
}

/// The numbers of events to look after, the fewest first, if everything can be worked with.
fn numbers(
    events: &[Event],
    pushes: &[Push],
    settings: &AttackSettings,
) -> Result<Vec<usize>, AttackError> {
    if !(1..=TIME_MAX).contains(&settings.max_delay) {
        return Err(AttackError::MaxDelay);
    }
    if settings.together.is_some_and(|together| together < 0) {
        return Err(AttackError::Together);
    }
    let mut numbers = settings.events.clone();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.first().is_none_or(|fewest| *fewest == 0) {
        return Err(AttackError::Events);
    }
    if pushes.is_empty() {
        return Err(AttackError::Pushes);
    }
    let mut times = events.iter().map(|event| event.at).chain(pushes.iter().map(|push| push.at));
    if times.any(|at| at.abs_diff(0) > TIME_MAX.unsigned_abs()) {
        return Err(AttackError::Times);
    }
    Ok(numbers)
}

fn point(events: usize, place: usize, verdicts: &[Vec<Verdict>]) -> Point {
    let reached = || verdicts.iter().filter_map(|of_account| of_account.get(place));
    let top1 = mean(reached().map(|verdict| verdict.top1));
    let hit = mean(reached().map(|verdict| verdict.hit));
    Point {
        events,
        accounts: reached().count(),
        top1: top1.value,
        top1_error: top1.error,
        hit: hit.value,
        hit_error: hit.error,
        eas: mean(reached().map(|verdict| verdict.bits)).value.exp2(),
        rank: quantile(reached().map(|verdict| verdict.rank).collect(), 0.5),
    }
}
