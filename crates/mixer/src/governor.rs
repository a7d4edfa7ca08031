//! The pauses and the send allowance of one credential set, so that trouble at one never slows or loses another's messages.

use std::collections::VecDeque;

use reveille_model::{Delay, Duration, Outcome, Rng, Timestamp};

use crate::retry::{RetrySettings, until};

/// Bounds of one credential set.
#[derive(Debug, Clone, Copy)]
pub struct GovernorSettings {
    /// Most requests under way at once.
    pub in_flight_max: usize,
    /// Most requests begun in a minute, evenly spread: never more than a second's worth at once. Not zero.
    pub per_minute_max: u32,
    /// Its delays.
    pub retry: RetrySettings,
}

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
    /// Pauses in a row without a good answer between them.
    streak: u32,
    recent: VecDeque<Bucket>,
    /// Requests that may begin, in sixty-thousandths: what a millisecond at the full pace earns is `per_minute_max`.
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
            streak,
            recent: VecDeque::new(),
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
            let wait = missing.div_ceil(u64::from(self.settings.per_minute_max.max(1)));
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
        let per_ms = u64::from(self.settings.per_minute_max.max(1));
        let most = per_ms.saturating_mul(1_000).max(REQUEST);
        let since = self.reckoned_at.map_or(u64::MAX, |before| now.since(before).as_ms());
        self.earned = self.earned.saturating_add(per_ms.saturating_mul(since)).min(most);
        self.reckoned_at = Some(now);
    }

    /// Takes note of an answer. Returns the end of the pause where this answer begins or lengthens one; it is to be kept over restarts.
    pub fn heard(&mut self, now: Timestamp, outcome: Outcome, rng: &mut Rng) -> Option<Timestamp> {
        let trouble =
            matches!(outcome, Outcome::RetryMessage(Delay::ServerError(_) | Delay::Unanswered));
        self.count(now, u32::from(trouble));
        match outcome {
            Outcome::PauseProvider(delay) => self.pause(now, delay, rng),
            Outcome::ConfigError | Outcome::RefreshCredential => {
                let config_error = now.plus(self.settings.retry.config_error);
                self.pause(now, Delay::ServerError(Some(config_error)), rng)
            }
            Outcome::RetryMessage(delay) if trouble => {
                if self.streak > 0 || self.mostly_trouble() {
                    self.pause(now, delay, rng)
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

    fn pause(&mut self, now: Timestamp, delay: Delay, rng: &mut Rng) -> Option<Timestamp> {
        let already = self.paused_until.filter(|until| now < *until);
        if already.is_none() {
            self.streak = self.streak.saturating_add(1);
        }
        let until = until(delay, self.streak, now, &self.settings.retry, rng);
        match already {
            // Late answers of what was under way do not lengthen a pause, unless the provider names a later time.
            Some(end) if until <= end || !is_named(delay) => None,
            _ => {
                self.paused_until = Some(until);
                self.recent.clear();
                Some(until)
            }
        }
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

fn is_named(delay: Delay) -> bool {
    matches!(delay, Delay::ServerError(Some(_)) | Delay::Throttled(Some(_)))
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Governor, GovernorSettings};
    use crate::RetrySettings;
    use reveille_model::{Delay, Duration, Outcome, Rng, Timestamp};

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);
    const SETTINGS: GovernorSettings =
        GovernorSettings { in_flight_max: 100, per_minute_max: 600_000, retry: RetrySettings::FCM };

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
        assert_eq!(governor.allowance(until, 0), Allowance::Send(100));
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
