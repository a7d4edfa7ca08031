//! The fault matrix: one provider in trouble, the two others not. The answers go through the readers of production, the decisions through
//! mixer and store; time is virtual.

use reveille_mixer::{
    After, Allowance, Attempt, DropGuard, DropGuardSettings, Governor, GovernorSettings,
    PauseSettings, RetrySettings, Throttling, after, order,
};
use reveille_model::{
    Audience, CredentialSet, Delay, DryRun, Duration, EventType, LeaseId, NewSubscription,
    Notification, NotificationId, Outcome, Policy, Proof, Provider, Reason, Rng, Settled, Spread,
    SubscriptionId, Timestamp, Token, Topic, User, Verdict,
};
use reveille_providers::http2::{NoReply, unanswered};
use reveille_providers::webpush::{self, Service};
use reveille_providers::{apns, fcm};
use reveille_store::memory::MemoryStore;
use reveille_store::{
    Acceptance, Claim, Claimed, End, Item, Outbox as _, Quarantine as _, SettleBatch, Settlement,
    Subscriptions as _, Suspicion,
};

use crate::scenery::{done, message_type};

const USERS: u64 = 8;
const WINDOW: Duration = Duration::from_s(10);
/// Windows while the fault lasts.
const WINDOWS: u32 = 12;
const STEP: Duration = Duration::from_ms(100);
/// The longest a wake-up of a healthy provider may take after its window: answers take up to 80 ms, and time goes in steps.
const PROMPT: Duration = Duration::from_ms(500);
/// Everything must be settled so long after the fault; Apple asks for half an hour between tries.
const SETTLED_AFTER: Duration = Duration::from_s(3 * 3_600);
const HOLD: Duration = Duration::from_s(3_600);
const START: Timestamp = Timestamp::from_ms(1_795_254_000_000);

/// What a provider, or the way to it, does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    TooMany,
    Unavailable,
    Internal,
    Forbidden,
    Refused,
    Reset,
    Stall,
    /// What was under way may or may not have been processed.
    GoawayOnce,
    /// What was under way is answered, and what was not looked at is sent again at once.
    GoawayTwoPhases,
    SlowTls,
    DnsFailure,
}

pub(crate) const FAULTS: [Fault; 11] = [
    Fault::TooMany,
    Fault::Unavailable,
    Fault::Internal,
    Fault::Forbidden,
    Fault::Refused,
    Fault::Reset,
    Fault::Stall,
    Fault::GoawayOnce,
    Fault::GoawayTwoPhases,
    Fault::SlowTls,
    Fault::DnsFailure,
];

impl Fault {
    /// What the sender of a provider makes of it, and whether the push was processed all the same.
    fn verdict(self, provider: Provider, now: Timestamp, rng: &mut Rng) -> (Verdict, bool) {
        let status = match self {
            Self::TooMany => 429,
            Self::Unavailable => 503,
            Self::Internal => 500,
            Self::Forbidden => 403,
            Self::Refused | Self::SlowTls => return (unanswered(NoReply::Unreachable), false),
            Self::Stall => return (unanswered(NoReply::Timeout), rng.below(2) == 0),
            Self::Reset | Self::GoawayOnce => {
                return (unanswered(NoReply::Lost), rng.below(2) == 0);
            }
            Self::GoawayTwoPhases => return (Verdict::new(Outcome::Accepted, "none"), true),
            Self::DnsFailure => {
                let unknown = Outcome::RetryMessage(Delay::Unreachable);
                return (Verdict::of(unknown, Reason::UNKNOWN_HOST), false);
            }
        };
        let verdict = match provider {
            Provider::Apns => {
                let reason = match self {
                    Self::TooMany => "TooManyProviderTokenUpdates",
                    Self::Unavailable => "ServiceUnavailable",
                    Self::Internal => "InternalServerError",
                    _ => "Forbidden",
                };
                let body = format!(r#"{{"reason":"{reason}"}}"#);
                apns::reply(status, None, body.as_bytes()).verdict
            }
            Provider::Fcm => fcm::reply(status, None, b""),
            Provider::WebPush => {
                let service = Service::Mozilla;
                let answer = webpush::Answer {
                    status,
                    retry_after: None,
                    wns_status: None,
                    body: b"",
                    service,
                };
                webpush::reply(&answer, now)
            }
        };
        (verdict, false)
    }
}

/// Mistakes planted to prove the checkers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    DropsOnTrouble,
    PausesEverybody,
    GivesUpOnTrouble,
}

struct Lane {
    set: CredentialSet,
    retry: RetrySettings,
    governor: Governor,
    guard: DropGuard,
    /// Sent, and answered then.
    in_flight: Vec<(Timestamp, Claimed)>,
}

impl Lane {
    fn new(provider: Provider) -> Self {
        let (name, retry) = match provider {
            Provider::Apns => ("wikipedia", RetrySettings::APNS),
            Provider::Fcm => ("default", RetrySettings::FCM),
            Provider::WebPush => ("mozilla", RetrySettings::WEB_PUSH),
        };
        let settings = GovernorSettings {
            in_flight_max: 50,
            per_minute_max: 600_000,
            pause: PauseSettings::DEFAULT,
            throttling: Throttling::OfDevice,
        };
        Self {
            set: CredentialSet::new(provider, name).unwrap(),
            retry,
            governor: Governor::new(settings, None),
            guard: DropGuard::new(DropGuardSettings::DEFAULT),
            in_flight: Vec::new(),
        }
    }
}

struct Rig {
    rng: Rng,
    now: Timestamp,
    store: MemoryStore,
    lanes: Vec<Lane>,
    faulty: (Provider, Fault),
    plant: Option<Plant>,
    fault_ends: Timestamp,
    /// The last time each device's push was processed.
    reached: std::collections::BTreeMap<String, Timestamp>,
}

fn token(provider: Provider, user: u64) -> Token {
    let text = match provider {
        Provider::Apns => format!("{user:064x}"),
        Provider::Fcm => format!("phone-{user}"),
        Provider::WebPush => format!("https://updates.push.services.mozilla.com/{user} key auth"),
    };
    Token::parse(provider, &text).unwrap()
}

/// Runs one cell under one seed; says what was found wrong.
pub(crate) fn run(
    faulty: (Provider, Fault),
    seed: u64,
    plant: Option<Plant>,
) -> Result<(), String> {
    let mut rig = Rig { plant, ..Rig::new(faulty, seed) };
    let last_window = START.plus(Duration::from_ms(WINDOW.as_ms() * u64::from(WINDOWS)));
    for window in 1..=WINDOWS {
        let end = START.plus(Duration::from_ms(WINDOW.as_ms() * u64::from(window)));
        rig.notify_all(end);
        while rig.now < end {
            rig.step()?;
        }
        rig.end_window(end);
    }
    rig.fault_ends = rig.now.plus(WINDOW);
    let limit = rig.fault_ends.plus(SETTLED_AFTER);
    while done(rig.store.depth()).unwrap().ledger.waiting > 0 {
        if rig.now > limit {
            return Err("it does not settle".to_owned());
        }
        rig.step()?;
        rig.skip();
    }
    rig.all_lives(last_window)
}

impl Rig {
    fn new(faulty: (Provider, Fault), seed: u64) -> Self {
        let mut rig = Self {
            rng: Rng::from_number(seed),
            now: START,
            store: MemoryStore::default(),
            lanes: Provider::ALL.map(Lane::new).into(),
            faulty,
            plant: None,
            fault_ends: Timestamp::from_ms(i64::MAX),
            reached: std::collections::BTreeMap::new(),
        };
        for user in 0..USERS {
            for provider in Provider::ALL {
                let new = NewSubscription {
                    user: User::parse(&format!("user-{user}")).unwrap(),
                    set: Lane::new(provider).set,
                    topic: (provider == Provider::Apns)
                        .then(|| Topic::parse("org.wikimedia.wikipedia").unwrap()),
                    token: token(provider, user),
                };
                let fresh = SubscriptionId::from_bytes(rig.rng.bytes_16());
                done(rig.store.put(new, fresh, 10, rig.now)).unwrap();
            }
        }
        rig
    }

    fn notify_all(&mut self, window_end: Timestamp) {
        let users = (0..USERS).map(|user| User::parse(&format!("user-{user}")).unwrap());
        let notification = Notification {
            id: NotificationId::from_bytes(self.rng.bytes_16()),
            event_type: EventType::parse("mention").unwrap(),
            message_type: message_type(),
            audience: Audience::Users(users.collect()),
            ttl: Duration::from_s(36_000),
            dry_run: DryRun::No,
            deliver_after: None,
            spread: Spread::default(),
            policy: Policy::OPEN,
            content: None,
        };
        let acceptance = Acceptance {
            now: self.now,
            window_end,
            waiting_max: 100_000,
            idempotency: None,
            items: vec![Item::Notification(notification)],
        };
        done(self.store.accept(acceptance)).unwrap();
    }

    fn end_window(&mut self, end: Timestamp) {
        done(self.store.close(end)).unwrap();
        while !done(self.store.expand(end, order(&mut self.rng))).unwrap().is_done() {}
    }

    /// A tenth of a second: answers come, workers claim and send.
    fn step(&mut self) -> Result<(), String> {
        self.now = self.now.plus(STEP);
        let mut lanes = std::mem::take(&mut self.lanes);
        if self.plant == Some(Plant::PausesEverybody)
            && let Some(paused) = lanes.iter().find_map(|lane| lane.governor.paused_until(self.now))
        {
            let pause = Outcome::PauseProvider(Delay::ServerError(Some(paused)));
            for lane in &mut lanes {
                lane.governor.heard(self.now, pause, &mut self.rng);
            }
        }
        for lane in &mut lanes {
            self.hear(lane)?;
            self.claim(lane);
        }
        self.lanes = lanes;
        let ledger = done(self.store.depth()).unwrap().ledger;
        if ledger.fits() { Ok(()) } else { Err(format!("the accounting does not fit: {ledger:?}")) }
    }

    /// While nothing is under way, time flies to the next thing that is due.
    fn skip(&mut self) {
        if self.lanes.iter().any(|lane| !lane.in_flight.is_empty()) {
            return;
        }
        let next = self.lanes.iter().filter_map(|lane| {
            let due = done(self.store.next_due(&lane.set)).unwrap()?;
            Some(due.max(lane.governor.paused_until(self.now).unwrap_or(due)))
        });
        if let Some(next) = next.min() {
            self.now = self.now.max(next.minus(STEP));
        }
    }

    fn hear(&mut self, lane: &mut Lane) -> Result<(), String> {
        let (answered, in_flight) =
            std::mem::take(&mut lane.in_flight).into_iter().partition(|(at, _)| *at <= self.now);
        lane.in_flight = in_flight;
        for (_, claimed) in answered {
            let provider = lane.set.provider();
            let is_faulty = self.faulty.0 == provider && self.now < self.fault_ends;
            let (verdict, is_processed) = if is_faulty {
                self.faulty.1.verdict(provider, self.now, &mut self.rng)
            } else {
                (Verdict::new(Outcome::Accepted, "none"), true)
            };
            if is_processed {
                self.reached.insert(claimed.token.expose().to_owned(), self.now);
            }
            if self.faulty.0 != provider && self.now.since(claimed.window_end) > PROMPT {
                return Err(format!("{} was delayed by another's trouble", lane.set));
            }
            self.settle(lane, &claimed, verdict);
        }
        Ok(())
    }

    fn settle(&mut self, lane: &mut Lane, claimed: &Claimed, verdict: Verdict) {
        lane.guard.heard(self.now, "", verdict.outcome);
        lane.governor.heard(self.now, verdict.outcome, &mut self.rng);
        let attempt =
            Attempt { number: claimed.attempts + 1, now: self.now, dry_run: claimed.dry_run };
        let reason = verdict.reason;
        let end = match after(verdict.outcome, attempt, &lane.retry, &mut self.rng) {
            After::Settle(how) => End::Settled(how),
            After::Dead(proof) => End::Dead(proof, reason),
            After::Suspect => {
                let is_trusted = lane.guard.is_trusted(self.now, "");
                End::Suspected(Suspicion { reason, is_trusted })
            }
            After::Retry { due_at } => match self.plant {
                Some(Plant::DropsOnTrouble) => End::Dead(Proof::Unguarded, reason),
                Some(Plant::GivesUpOnTrouble) => End::Settled(Settled::Expired),
                _ => End::Retry(due_at),
            },
        };
        let suspicion = Suspicion { reason, is_trusted: lane.guard.is_trusted_anywhere(self.now) };
        let strike = verdict.strike.map(|strike| (strike, suspicion));
        let Claimed { id, lease, device, .. } = *claimed;
        let settlements = vec![Settlement { id, lease, device, end, strike }];
        let batch = SettleBatch { settlements, now: self.now, hold: HOLD, tell: Vec::new() };
        done(self.store.settle(batch)).unwrap();
    }

    fn claim(&mut self, lane: &mut Lane) {
        let Allowance::Send(room) = lane.governor.allowance(self.now, lane.in_flight.len()) else {
            return;
        };
        let claim = Claim {
            set: lane.set.clone(),
            now: self.now,
            lease: LeaseId::from_random(self.rng.next_u64()),
            lease_until: self.now.plus(Duration::from_s(120)),
            limit: room,
            hold: HOLD,
        };
        for claimed in done(self.store.claim(claim)).unwrap() {
            lane.governor.sent(1);
            let answered = self.now.plus(Duration::from_ms(self.rng.between(10, 80)));
            lane.in_flight.push((answered, claimed));
        }
    }

    /// Each device was reached after the last window, and is still registered.
    fn all_lives(&self, last_window: Timestamp) -> Result<(), String> {
        if done(self.store.quarantined_count()).unwrap() > 0 {
            return Err("a device is in quarantine".to_owned());
        }
        for user in 0..USERS {
            let name = User::parse(&format!("user-{user}")).unwrap();
            if done(self.store.list(&name)).unwrap().len() != Provider::ALL.len() {
                return Err(format!("a device of user-{user} was dropped though it lives"));
            }
            for provider in Provider::ALL {
                let reached = self.reached.get(token(provider, user).expose());
                if reached.is_none_or(|at| *at < last_window) {
                    return Err(format!("{provider} device of user-{user} was never reached"));
                }
            }
        }
        let ledger = done(self.store.depth()).unwrap().ledger;
        if ledger.accepted
            != ledger.collapsed + ledger.settled(Settled::Sent) + ledger.settled(Settled::Dead)
        {
            return Err(format!("a wake-up was given up: {ledger:?}"));
        }
        Ok(())
    }
}
