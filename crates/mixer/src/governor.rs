//! The pauses and the send allowance of one credential set, so that trouble at one never slows or loses another's messages.

use std::collections::VecDeque;

use reveille_model::{Delay, Duration, Outcome, Rng, Timestamp};

use crate::retry::{Backoff, after_named};

/// Bounds of one credential set, or of one scope of it.
#[derive(Debug, Clone, Copy)]
pub struct GovernorSettings {
    /// Most requests under way at once.
    pub in_flight_max: usize,
    /// Most requests begun in a minute, evenly spread: never more than a second's worth at once. Not zero.
    pub per_minute_max: u32,
    /// How long pauses are where the provider names no time.
    pub pause: PauseSettings,
    /// Whose fault it is when one message comes too often.
    pub throttling: Throttling,
}

/// Whose fault it is when a provider says of one message that it comes too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttling {
    /// The device's alone (APNs, FCM).
    OfDevice,
    /// If it is said often, ours: the provider has no other word for it (Web Push).
    OfSender,
}

/// How long pauses are.
#[derive(Debug, Clone, Copy)]
pub struct PauseSettings {
    /// When too many recent answers were trouble.
    pub trouble: Backoff,
    /// When our quota is used up.
    pub throttled: Backoff,
    /// When our configuration is refused.
    pub config_error: Duration,
}

impl PauseSettings {
    /// 10 s doubling to 10 min for trouble, 60 s doubling to 10 min for a quota (contract: providers.md §2.6), 60 s for a refusal.
    pub const DEFAULT: Self = Self {
        trouble: Backoff { first: Duration::from_s(10), cap: Duration::from_s(600) },
        throttled: Backoff { first: Duration::from_s(60), cap: Duration::from_s(600) },
        config_error: Duration::from_s(60),
    };
}

/// How long it takes to go from no pace to the full one: what an overload took away comes back evenly (Firebase: ramp up over 60 s or
/// more).
const RECOVERY: Duration = Duration::from_s(120);
/// The slowest pace after overloads, as a part of the full one.
const PACE_PART_MIN: u64 = 64;

/// How far back answers are looked at.
const RECENT: Duration = Duration::from_s(30);
/// How finely they are remembered; the memory is `RECENT / BUCKET` counters.
const BUCKET: Duration = Duration::from_s(5);
/// With fewer recent answers than this no share is computed.
const ANSWERS_MIN: u32 = 20;
/// A pause begins when more than one answer in this many is trouble: over 20 %.
const TROUBLE_SHARE: u32 = 5;

/// What a credential set may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// Send up to so many more (possibly none: enough is under way).
    Send(usize),
    /// Nothing before then: the provider is in trouble, or we are.
    Paused(Timestamp),
    /// Nothing before then: the pace says so.
    Paced(Timestamp),
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    start: Timestamp,
    answers: u32,
    trouble: u32,
}

/// Decides how much a credential set may send. Told every verdict; asked before every claim.
#[derive(Debug, Clone)]
pub struct Governor {
    settings: GovernorSettings,
    paused_until: Option<Timestamp>,
    /// Whether that pause is because we are refused, and nothing else.
    is_refused: bool,
    /// Pauses in a row without a good answer between them.
    streak: u32,
    recent: VecDeque<Bucket>,
    /// Requests a minute for now: halved by each overload, growing evenly back to `per_minute_max`.
    pace: u64,
    /// What of a request a minute has grown back, in parts of [`RECOVERY`].
    regained: u64,
    /// Requests that may begin, in sixty-thousandths: what a millisecond earns is the pace.
    earned: u64,
    /// When it was last reckoned.
    reckoned_at: Option<Timestamp>,
}

/// One request, in the unit of [`Governor::earned`].
const REQUEST: u64 = 60_000;

impl Governor {
    /// A governor, going on with a pause that a restart interrupted.
    pub fn new(settings: GovernorSettings, paused_until: Option<Timestamp>) -> Self {
        let streak = u32::from(paused_until.is_some());
        Self {
            settings,
            paused_until,
            is_refused: false,
            streak,
            recent: VecDeque::new(),
            pace: u64::from(settings.per_minute_max.max(1)),
            regained: 0,
            earned: 0,
            reckoned_at: None,
        }
    }

    /// How many more may be sent while `in_flight` are under way. After a pause, one at a time until an answer is good.
    pub fn allowance(&mut self, now: Timestamp, in_flight: usize) -> Allowance {
        if let Some(until) = self.paused_until(now) {
            return Allowance::Paused(until);
        }
        let max = if self.streak > 0 { 1 } else { self.settings.in_flight_max };
        let room = max.saturating_sub(in_flight);
        self.reckon(now);
        let paced = self.earned / REQUEST;
        if room > 0 && paced == 0 {
            let missing = REQUEST - self.earned;
            let wait = missing.div_ceil(self.pace);
            return Allowance::Paced(now.plus(Duration::from_ms(wait)));
        }
        Allowance::Send(room.min(usize::try_from(paced).unwrap_or(usize::MAX)))
    }

    /// The end of the pause that is in force.
    pub fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until.filter(|until| now < *until)
    }

    /// Takes note that so many were sent.
    pub fn sent(&mut self, count: usize) {
        self.earned = self.earned.saturating_sub(REQUEST.saturating_mul(count as u64));
    }

    /// Earns what the time since the last reckoning is worth, up to a second's worth but at least one request.
    fn reckon(&mut self, now: Timestamp) {
        let since = self.reckoned_at.map_or(u64::MAX, |before| now.since(before).as_ms());
        let full = self.full_pace();
        if self.pace < full {
            self.regained = self.regained.saturating_add(full.saturating_mul(since));
            self.pace = self.pace.saturating_add(self.regained / RECOVERY.as_ms()).min(full);
            self.regained %= RECOVERY.as_ms();
        }
        let most = self.pace.saturating_mul(1_000).max(REQUEST);
        self.earned = self.earned.saturating_add(self.pace.saturating_mul(since)).min(most);
        self.reckoned_at = Some(now);
    }

    fn full_pace(&self) -> u64 {
        u64::from(self.settings.per_minute_max.max(1))
    }

    /// Requests a minute that may begin for now.
    pub fn pace(&self) -> u64 {
        self.pace
    }

    /// Takes note of an answer. Returns the end of the pause where this answer begins or lengthens one; it is to be kept over restarts.
    pub fn heard(&mut self, now: Timestamp, outcome: Outcome, rng: &mut Rng) -> Option<Timestamp> {
        let trouble = match outcome {
            Outcome::RetryMessage(Delay::Throttled(_)) => {
                self.settings.throttling == Throttling::OfSender
            }
            Outcome::RetryMessage(_) => true,
            _ => false,
        };
        self.count(now, u32::from(trouble));
        match outcome {
            Outcome::PauseProvider(delay) => {
                if self.paused_until(now).is_none() && matches!(delay, Delay::Throttled(_)) {
                    self.pace = (self.pace / 2).max(self.full_pace() / PACE_PART_MIN).max(1);
                }
                let until = self.pause_end(now, delay, rng);
                self.pause(now, until)
            }
            Outcome::ConfigError | Outcome::RefreshCredential => {
                let until = now.plus(self.settings.pause.config_error);
                let begun = self.pause(now, (until, false));
                self.is_refused |= begun.is_some();
                begun
            }
            Outcome::RetryMessage(delay) if trouble => {
                if self.streak > 0 || self.mostly_trouble() {
                    let until = self.pause_end(now, delay, rng);
                    self.pause(now, until)
                } else {
                    None
                }
            }
            Outcome::RetryMessage(_) => None,
            Outcome::Accepted | Outcome::DropSubscription(_) | Outcome::PayloadError => {
                if self.paused_until.is_none_or(|until| until <= now) {
                    self.paused_until = None;
                    self.streak = 0;
                }
                None
            }
        }
    }

    /// When a pause that begins now ends, and whether the provider named that time.
    fn pause_end(&self, now: Timestamp, delay: Delay, rng: &mut Rng) -> (Timestamp, bool) {
        let PauseSettings { trouble, throttled, .. } = self.settings.pause;
        let pauses = self.streak.saturating_add(u32::from(self.paused_until(now).is_none()));
        match delay {
            Delay::ServerError(Some(named)) | Delay::Throttled(Some(named)) => {
                (after_named(named, now, rng), true)
            }
            Delay::Throttled(None) => (now.plus(throttled.delay(pauses, rng)), false),
            Delay::ServerError(None) | Delay::Unanswered | Delay::Unreachable => {
                (now.plus(trouble.delay(pauses, rng)), false)
            }
        }
    }

    fn pause(&mut self, now: Timestamp, (until, is_named): (Timestamp, bool)) -> Option<Timestamp> {
        match self.paused_until(now) {
            // Late answers of what was under way do not lengthen a pause, unless the provider names a later time.
            Some(end) if until <= end || !is_named => None,
            already => {
                if already.is_none() {
                    self.streak = self.streak.saturating_add(1);
                }
                (self.paused_until, self.is_refused) = (Some(until), false);
                self.recent.clear();
                // Nothing is earned and no pace regained while nothing is sent; the probe is free.
                (self.earned, self.reckoned_at) = (REQUEST, Some(until));
                Some(until)
            }
        }
    }

    /// What we were refused for has been changed: a pause because of it ends, and one request at a time shows whether it is well now. Returns whether
    /// there was one.
    pub fn mended(&mut self, now: Timestamp) -> bool {
        let was_paused = self.is_refused && self.paused_until(now).is_some();
        if was_paused {
            (self.paused_until, self.is_refused) = (None, false);
            (self.earned, self.reckoned_at) = (REQUEST, Some(now));
        }
        was_paused
    }

    fn count(&mut self, now: Timestamp, trouble: u32) {
        let start =
            Timestamp::from_ms(now.as_ms() - now.as_ms().rem_euclid(BUCKET.as_ms().cast_signed()));
        if self.recent.back().is_none_or(|bucket| bucket.start != start) {
            self.recent.push_back(Bucket { start, answers: 0, trouble: 0 });
        }
        if let Some(bucket) = self.recent.back_mut() {
            bucket.answers = bucket.answers.saturating_add(1);
            bucket.trouble = bucket.trouble.saturating_add(trouble);
        }
        let oldest = now.minus(RECENT);
        while self.recent.front().is_some_and(|bucket| bucket.start < oldest)
            || self.recent.len() > usize::try_from(RECENT.as_ms() / BUCKET.as_ms()).unwrap_or(1) + 1
        {
            self.recent.pop_front();
        }
    }

    fn mostly_trouble(&self) -> bool {
        let answers: u32 = self.recent.iter().map(|bucket| bucket.answers).sum();
        let trouble: u32 = self.recent.iter().map(|bucket| bucket.trouble).sum();
        answers >= ANSWERS_MIN && trouble > answers / TROUBLE_SHARE
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Governor, GovernorSettings, PauseSettings, Throttling};
    use reveille_model::{Delay, Duration, Outcome, Rng, Timestamp};

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);
    const SETTINGS: GovernorSettings = GovernorSettings {
        in_flight_max: 100,
        per_minute_max: 600_000,
        pause: PauseSettings::DEFAULT,
        throttling: Throttling::OfDevice,
    };

    fn later(s: u32) -> Timestamp {
        NOW.plus(Duration::from_s(s))
    }

    #[test]
    fn a_pause_keeps_to_the_named_time_and_ends_with_one_probe() {
        let (mut governor, mut rng) = (Governor::new(SETTINGS, None), Rng::from_number(1));
        assert_eq!(governor.allowance(NOW, 40), Allowance::Send(60));
        let named = Outcome::PauseProvider(Delay::Throttled(Some(later(30))));
        let until = governor.heard(NOW, named, &mut rng).unwrap();
        assert!(until >= later(30) && until <= later(31));
        assert_eq!(governor.allowance(later(29), 0), Allowance::Paused(until));
        assert_eq!(governor.allowance(until, 0), Allowance::Send(1));
        assert_eq!(governor.allowance(until, 1), Allowance::Send(0));
        governor.heard(until, Outcome::Accepted, &mut rng);
        let then = until.plus(Duration::from_s(1));
        assert_eq!(governor.allowance(then, 0), Allowance::Send(100));
    }

    #[test]
    fn late_answers_neither_end_nor_lengthen_a_pause_but_a_later_named_time_does() {
        let (mut governor, mut rng) = (Governor::new(SETTINGS, None), Rng::from_number(1));
        let unnamed = Outcome::PauseProvider(Delay::Throttled(None));
        let until = governor.heard(NOW, unnamed, &mut rng).unwrap();
        assert_eq!(governor.heard(later(1), unnamed, &mut rng), None);
        governor.heard(later(1), Outcome::Accepted, &mut rng);
        assert_eq!(governor.allowance(later(1), 0), Allowance::Paused(until));
        let named = Outcome::PauseProvider(Delay::Throttled(Some(later(600))));
        assert!(governor.heard(later(2), named, &mut rng).unwrap() >= later(600));
    }

    #[test]
    fn what_is_mended_ends_only_the_pause_it_caused_and_is_tried_with_one_probe() {
        let (mut governor, mut rng) = (Governor::new(SETTINGS, None), Rng::from_number(1));
        assert!(!governor.mended(NOW), "there is no pause");
        for outcome in [Outcome::ConfigError, Outcome::RefreshCredential] {
            governor.heard(NOW, outcome, &mut rng).unwrap();
            assert!(governor.mended(later(1)) && !governor.mended(later(1)));
            assert_eq!(governor.allowance(later(1), 0), Allowance::Send(1));
            governor.sent(1);
            governor.heard(later(1), Outcome::Accepted, &mut rng);
            assert_eq!(governor.allowance(later(2), 0), Allowance::Send(100));
        }
        let until = governor.heard(later(3), Outcome::ConfigError, &mut rng).unwrap();
        let named = Outcome::PauseProvider(Delay::Throttled(Some(until.plus(Duration::from_s(9)))));
        assert!(governor.heard(later(4), named, &mut rng).is_some());
        assert!(!governor.mended(later(5)), "the provider has named a time meanwhile");
        assert!(matches!(governor.allowance(later(5), 0), Allowance::Paused(_)));
        let (mut governor, trouble) =
            (Governor::new(SETTINGS, None), Outcome::PauseProvider(Delay::ServerError(None)));
        governor.heard(NOW, trouble, &mut rng).unwrap();
        governor.heard(NOW, Outcome::ConfigError, &mut rng);
        assert!(!governor.mended(NOW), "it was paused for trouble before");
    }

    #[test]
    fn pauses_grow_while_probes_fail() {
        let (mut governor, mut rng) = (Governor::new(SETTINGS, None), Rng::from_number(2));
        let failed = Outcome::RetryMessage(Delay::ServerError(None));
        let mut now = NOW;
        let mut lengths = Vec::new();
        for _ in 0..20 {
            governor.heard(now, failed, &mut rng);
        }
        for _ in 0..8 {
            let Allowance::Paused(until) = governor.allowance(now, 0) else { panic!("no pause") };
            lengths.push(until.since(now).as_s());
            now = until;
            governor.heard(now, failed, &mut rng);
        }
        assert!(lengths[0] <= 15 && lengths[7] >= 300, "{lengths:?}");
    }

    #[test]
    fn trouble_pauses_only_above_its_share_of_recent_answers() {
        let failed = Outcome::RetryMessage(Delay::ServerError(None));
        let paused = |good: u32, bad: u32, apart_s: u32| {
            let (mut governor, mut rng) = (Governor::new(SETTINGS, None), Rng::from_number(3));
            for _ in 0..good {
                governor.heard(NOW, Outcome::Accepted, &mut rng);
            }
            (0..bad).any(|_| governor.heard(later(apart_s), failed, &mut rng).is_some())
        };
        assert!(!paused(100, 20, 1), "20 of 120 is not over 20 %");
        assert!(paused(100, 30, 1));
        assert!(!paused(0, 19, 1), "too few to tell");
        assert!(paused(100, 20, 60), "old answers do not count");
    }

    #[test]
    fn one_devices_throttling_is_nobody_elses_trouble() {
        let (mut governor, mut rng) = (Governor::new(SETTINGS, None), Rng::from_number(4));
        for _ in 0..1_000 {
            let throttled = Outcome::RetryMessage(Delay::Throttled(None));
            assert_eq!(governor.heard(NOW, throttled, &mut rng), None);
        }
    }

    #[test]
    fn where_a_provider_has_no_other_word_much_throttling_is_an_overload() {
        let settings = GovernorSettings { throttling: Throttling::OfSender, ..SETTINGS };
        let (mut governor, mut rng) = (Governor::new(settings, None), Rng::from_number(4));
        let throttled = Outcome::RetryMessage(Delay::Throttled(Some(later(120))));
        let paused: Vec<_> =
            (0..20).filter_map(|_| governor.heard(NOW, throttled, &mut rng)).collect();
        assert_eq!(paused.len(), 1);
        assert!(paused[0] >= later(120), "until the time it named");
    }

    #[test]
    fn an_overload_halves_the_pace_and_it_grows_back_evenly() {
        let settings = GovernorSettings { per_minute_max: 6_000, ..SETTINGS };
        let (mut governor, mut rng) = (Governor::new(settings, None), Rng::from_number(5));
        let overloaded = |at: u32| Outcome::PauseProvider(Delay::Throttled(Some(later(at))));
        governor.heard(NOW, overloaded(10), &mut rng);
        assert_eq!(governor.pace(), 3_000);
        governor.heard(later(1), overloaded(10), &mut rng);
        assert_eq!(governor.pace(), 3_000, "answers to what was under way are one overload");
        governor.allowance(later(11), 0);
        governor.heard(later(11), Outcome::Accepted, &mut rng);
        let before = governor.pace();
        // Asked often or seldom, it grows alike.
        for tenth in 1..=300 {
            governor.allowance(later(11).plus(Duration::from_ms(tenth * 100)), 0);
        }
        let grown = governor.pace() - before;
        assert!((1_490..=1_500).contains(&grown), "{grown} in 30 s of the 120 s for all of it");
        governor.allowance(later(200), 0);
        assert_eq!(governor.pace(), 6_000);
        for round in 0..20 {
            let at = 300 + round * 20;
            governor.heard(later(at), overloaded(at + 1), &mut rng);
        }
        assert!(governor.pace() >= 6_000 / 64, "it never stands still");
    }

    #[test]
    fn a_pause_outlives_a_restart() {
        let mut governor = Governor::new(SETTINGS, Some(later(5)));
        assert_eq!(governor.allowance(NOW, 0), Allowance::Paused(later(5)));
        assert_eq!(governor.allowance(later(5), 0), Allowance::Send(1));
    }

    #[test]
    fn the_pace_is_kept_evenly_and_a_second_is_the_most_at_once() {
        let settings =
            GovernorSettings { in_flight_max: 1_000_000, per_minute_max: 6_000, ..SETTINGS };
        let mut governor = Governor::new(settings, None);
        let (mut now, mut sent, mut most) = (NOW, 0, 0);
        while now < later(60) {
            match governor.allowance(now, 0) {
                Allowance::Send(room) => {
                    governor.sent(room);
                    sent += room;
                    most = most.max(room);
                }
                Allowance::Paced(until) => {
                    assert!(until > now);
                    now = until;
                }
                Allowance::Paused(_) => panic!("no trouble"),
            }
        }
        assert_eq!(most, 100, "a second's worth, at the start");
        assert!((6_000..=6_100).contains(&sent), "{sent}");
        // A slow pace still sends.
        let slow = GovernorSettings { per_minute_max: 1, ..settings };
        let mut governor = Governor::new(slow, None);
        assert_eq!(governor.allowance(NOW, 0), Allowance::Send(1));
        governor.sent(1);
        assert_eq!(governor.allowance(NOW, 0), Allowance::Paced(later(60)));
        // A clock that steps back earns nothing and breaks nothing.
        assert!(matches!(governor.allowance(Timestamp::EPOCH, 0), Allowance::Paced(_)));
    }
}
