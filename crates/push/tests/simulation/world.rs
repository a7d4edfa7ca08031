//! One world under one seed: a store, a window task, a delivery worker, callers and devices.

use std::collections::{BTreeMap, BTreeSet};

use reveille_mixer::{
    After, Allowance, Attempt, DropGuard, DropGuardSettings, Governor, GovernorSettings,
    PauseSettings, RetrySettings, Schedule, Throttling, after, order,
};
use reveille_model::{
    Audience, Delay, DryRun, Duration, EventType, LeaseId, NewSubscription, Notification,
    NotificationId, Outcome, Policy, Proof, Provider as Kind, Reason, Rng, Settled, Spread,
    SubscriptionId, Timestamp, Token, User, WakeupId,
};
use reveille_store::memory::MemoryStore;
use reveille_store::{
    AcceptError, Acceptance, Accepted, Claim, Claimed, End, Idempotency, Item, Outbox as _,
    Quarantine as _, SettleBatch, Settlement, Subscriptions as _, Suspicion, TokenMessage, Which,
};

use crate::bug::Bug;
use crate::provider::{Habits, Provider};
use crate::scenery::{device, done, message_type, set, sweep};

const STEPS: u32 = 250;
const QUIET_STEPS_MAX: u32 = 5_000;
const LEASE: Duration = Duration::from_s(60);
const SETTINGS: GovernorSettings = GovernorSettings {
    in_flight_max: 20,
    per_minute_max: 600,
    pause: PauseSettings::DEFAULT,
    throttling: Throttling::OfDevice,
};
const RETRY: RetrySettings = RetrySettings::FCM;
/// How long quarantined devices are left alone.
const HOLD: Duration = Duration::from_s(30);
const GUARD: DropGuardSettings =
    DropGuardSettings { dead_percent_max: 30, answers_min: 5, trust_over: HOLD };

/// What was promised: after the end of its window the token is taken by the provider, unless it dies or expires.
#[derive(Debug, Clone)]
struct Promise {
    token: String,
    window_end: Timestamp,
    expires_at: Timestamp,
}

#[derive(Debug)]
pub(crate) struct World {
    bug: Option<Bug>,
    rng: Rng,
    now: Timestamp,
    store: MemoryStore,
    schedule: Schedule,
    governor: Governor,
    guard: DropGuard,
    provider: Provider,
    /// Sent, answered, and the answer on its way to the worker.
    in_flight: Vec<(Claimed, Outcome)>,
    /// Workers that lost their claims and do not know it.
    stale: Vec<(Claimed, Outcome)>,
    /// Who holds what until when, in the eyes of the simulation.
    held: BTreeMap<WakeupId, Timestamp>,
    closed: Timestamp,
    /// The windows up to here are expanded wholly.
    expanded: Timestamp,
    promises: Vec<Promise>,
    ttl: Duration,
    called_dead: BTreeSet<String>,
    /// Not before the first, for a token, as an answer said that reached the worker; until the second, when that wake-up expires.
    named: BTreeMap<String, (Timestamp, Timestamp)>,
    /// Nothing at all before then, as an answer said that reached the worker.
    pause_named: Timestamp,
    next: u64,
    pub(crate) story: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut rng = Rng::from_number(seed);
        // Soon after midnight: drawn windows are counted from there.
        let now = Timestamp::from_ms(1_795_219_200_000 + rng.below(600_000).cast_signed());
        let schedule = if rng.below(2) == 0 {
            Schedule::Fixed { length: Duration::from_s(10) }
        } else {
            Schedule::Drawn { min: Duration::from_s(5), max: Duration::from_s(15), key: [7; 32] }
        };
        let provider = Provider::new(Habits::draw(&mut rng));
        // Some seeds have time, some let wake-ups expire.
        let ttl = Duration::from_s(if rng.below(3) == 0 { 40 } else { 36_000 });
        let mut world = Self {
            bug,
            now,
            store: MemoryStore::default(),
            schedule,
            governor: Governor::new(SETTINGS, None),
            guard: DropGuard::new(GUARD),
            provider,
            in_flight: Vec::new(),
            stale: Vec::new(),
            held: BTreeMap::new(),
            closed: Timestamp::EPOCH,
            expanded: Timestamp::EPOCH,
            promises: Vec::new(),
            ttl,
            called_dead: BTreeSet::new(),
            named: BTreeMap::new(),
            pause_named: Timestamp::EPOCH,
            next: 0,
            story: Vec::new(),
            rng,
        };
        for number in 0..10 {
            world.register(number);
        }
        world
    }

    /// Everything that can happen, in any order.
    pub(crate) fn stormy(&mut self) -> Result<(), String> {
        let mistake = self.rng.below(u64::from(STEPS));
        for step in 0..STEPS {
            // A mistake of ours makes every device look dead, from some moment on until it is mended.
            self.provider.mistakes_all |= u64::from(step) == mistake;
            match self.rng.below(16) {
                0..=2 => self.accept()?,
                3 => self.notify()?,
                4..=6 => self.now = self.now.plus(Duration::from_ms(self.rng.below(4_000))),
                7 | 8 => self.window_step()?,
                9..=11 => self.claim()?,
                12..=13 => self.hear_some(),
                14 => self.trouble(),
                _ => drop(done(self.store.sweep(sweep(self.now)))),
            }
            self.check_ledger()?;
        }
        Ok(())
    }

    /// The provider is good again: everything settles in bounded time.
    pub(crate) fn quiet(&mut self) -> Result<(), String> {
        self.provider.habits = Habits::GOOD;
        self.provider.mistakes_all = false;
        for step in 0..QUIET_STEPS_MAX {
            // Whoever lives has been reached by now. What cannot be told from a mistake is for an operator.
            if step > QUIET_STEPS_MAX / 2 {
                done(self.store.drop_quarantined(Which::All, Vec::new(), self.now)).unwrap();
            }
            if done(self.store.depth()).unwrap().ledger.waiting == 0 {
                return Ok(());
            }
            self.window_step()?;
            self.claim()?;
            while !self.in_flight.is_empty() {
                self.hear_one();
            }
            self.now = self.now.plus(Duration::from_s(2));
            self.check_ledger()?;
        }
        Err(format!("it does not settle: {:?}", done(self.store.depth()).unwrap().ledger))
    }

    /// Every promise is kept, and whoever lives is still there.
    pub(crate) fn everything_arrived(&self) -> Result<(), String> {
        for number in (0..10_u64).filter(|number| !number.is_multiple_of(5)) {
            let listed =
                done(self.store.list(&User::parse(&format!("user-{number}")).unwrap())).unwrap();
            if listed.len() != 1 {
                return Err(format!("{} was dropped though it lives", device(number)));
            }
        }
        for promise in &self.promises {
            let taken = self.provider.taken.get(&promise.token).copied();
            let has_arrived = taken.is_some_and(|at| at >= promise.window_end);
            let may_be_missing = promise.token.ends_with("dead")
                || promise.token.ends_with("gone")
                || promise.expires_at <= self.now;
            if !has_arrived && !may_be_missing {
                return Err(format!(
                    "{} never arrived after {:?}",
                    promise.token, promise.window_end
                ));
            }
        }
        Ok(())
    }

    fn register(&mut self, number: u64) {
        let new = NewSubscription {
            user: User::parse(&format!("user-{number}")).unwrap(),
            set: set(),
            topic: None,
            token: Token::parse(Kind::Fcm, &device(number)).unwrap(),
        };
        self.called_dead.remove(&device(number));
        let fresh = SubscriptionId::from_bytes(self.rng.bytes_16());
        done(self.store.put(new, fresh, 10, self.now)).unwrap();
    }

    fn give(
        &mut self,
        item: &Item,
        key: Option<[u8; 32]>,
    ) -> Result<(Accepted, Timestamp), String> {
        let mut window_end = self.schedule.window(self.now).end;
        for _ in 0..3 {
            let acceptance = Acceptance {
                now: self.now,
                window_end,
                waiting_max: 10_000,
                idempotency: key.map(|key| Idempotency { key, body: [0; 32] }),
                items: vec![item.clone()],
            };
            match done(self.store.accept(acceptance)) {
                Ok(accepted) => return Ok((accepted, window_end)),
                Err(AcceptError::WindowClosed { closed_until, .. }) => {
                    window_end = self.schedule.window(closed_until).end;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("no window is open".to_owned())
    }

    /// A caller names tokens; sometimes the same again under its key, because the answer was lost.
    fn accept(&mut self) -> Result<(), String> {
        let tokens: Vec<String> = (0..=self.rng.below(4))
            .map(|_| match self.rng.below(4) {
                0 => device(self.rng.below(10)),
                1 => format!("known-{}", self.rng.below(5)),
                _ => {
                    self.next += 1;
                    format!("token-{}", self.next)
                }
            })
            .collect();
        let item = Item::Tokens(TokenMessage {
            set: set(),
            topic: None,
            message_type: message_type(),
            ttl: self.ttl,
            dry_run: DryRun::No,
            tokens: tokens.iter().map(|token| Token::parse(Kind::Fcm, token).unwrap()).collect(),
            unusable: 0,
        });
        let mut key = [0; 32];
        key.iter_mut().zip(self.rng.bytes_16()).for_each(|(place, byte)| *place = byte);
        let (_, window_end) = self.give(&item, Some(key))?;
        for token in tokens {
            let expires_at = window_end.plus(self.ttl);
            self.promises.push(Promise { token, window_end, expires_at });
        }
        if self.rng.below(4) == 0 {
            let key = (self.bug != Some(Bug::AcceptsRepeatsAnew)).then_some(key);
            if !matches!(self.give(&item, key)?.0, Accepted::Repeated { .. }) {
                return Err("a repeated request was accepted twice".to_owned());
            }
        }
        Ok(())
    }

    /// A caller names users.
    fn notify(&mut self) -> Result<(), String> {
        let number = self.rng.below(10);
        let notification = Notification {
            id: NotificationId::from_bytes(self.rng.bytes_16()),
            event_type: EventType::parse("mention").unwrap(),
            message_type: message_type(),
            audience: Audience::Users(vec![User::parse(&format!("user-{number}")).unwrap()]),
            ttl: self.ttl,
            dry_run: DryRun::No,
            deliver_after: None,
            spread: Spread::default(),
            policy: Policy::OPEN,
            content: None,
        };
        let (accepted, window_end) = self.give(&Item::Notification(notification), None)?;
        if !matches!(accepted, Accepted::New { wakeups: 0, .. }) {
            let expires_at = window_end.plus(self.ttl);
            self.promises.push(Promise { token: device(number), window_end, expires_at });
        }
        Ok(())
    }

    /// One transaction of the window task.
    fn window_step(&mut self) -> Result<(), String> {
        let ended = self.schedule.window(self.now).start;
        if self.bug == Some(Bug::SendsHalfABatch) && ended > self.expanded {
            // Without closing it first, the store takes each part for the whole.
            let shuffle = order(&mut self.rng);
            if done(self.store.expand(ended, shuffle)).map_err(|error| error.to_string())?.is_done()
            {
                self.expanded = ended;
            }
            return Ok(());
        }
        if ended > self.closed {
            done(self.store.close(ended)).unwrap();
            self.closed = ended;
            return Ok(());
        }
        if self.expanded < self.closed {
            let shuffle = order(&mut self.rng);
            if done(self.store.expand(self.closed, shuffle))
                .map_err(|error| error.to_string())?
                .is_done()
            {
                self.expanded = self.closed;
            }
        }
        Ok(())
    }

    /// The delivery worker claims what it may and sends it.
    fn claim(&mut self) -> Result<(), String> {
        let Allowance::Send(room) = self.governor.allowance(self.now, self.in_flight.len()) else {
            return Ok(());
        };
        let now = match self.bug {
            Some(Bug::SendsEarly) => self.now.plus(Duration::from_s(30)),
            _ => self.now,
        };
        let claim = Claim {
            set: set(),
            now,
            lease: LeaseId::from_random(self.rng.next_u64()),
            lease_until: self.now.plus(LEASE),
            limit: room.min(1 + usize::try_from(self.rng.below(8)).unwrap()),
            hold: HOLD,
        };
        if self.bug == Some(Bug::SendsEarly) {
            done(self.store.close(now)).unwrap();
            let shuffle = order(&mut self.rng);
            while !done(self.store.expand(now, shuffle)).unwrap().is_done() {}
        }
        let claimed = done(self.store.claim(claim)).unwrap();
        self.governor.sent(claimed.len());
        for claimed in claimed {
            if self.bug == Some(Bug::ForgetsRetries) && claimed.attempts > 0 {
                continue;
            }
            if self.bug == Some(Bug::SendsLate) {
                self.now = self.now.plus(Duration::from_s(25));
            }
            self.send(claimed)?;
        }
        Ok(())
    }

    fn send(&mut self, claimed: Claimed) -> Result<(), String> {
        let token = claimed.token.expose().to_owned();
        if self.now < claimed.window_end {
            return Err(format!("{token} left before its window ended"));
        }
        if claimed.window_end > self.expanded && self.bug != Some(Bug::SendsEarly) {
            return Err(format!("{token} left before all of its window was expanded"));
        }
        if claimed.expires_at <= self.now {
            return Err(format!("{token} was sent after it had expired"));
        }
        if self.named.get(&token).is_some_and(|(named, expiry)| self.now < *named.min(expiry)) {
            return Err(format!("{token} was sent before the time the provider named"));
        }
        if self.now < self.pause_named {
            return Err(format!("{token} was sent during a pause the provider named"));
        }
        if claimed.device.is_some() && self.called_dead.contains(&token) {
            return Err(format!("{token} was sent to after it was called dead"));
        }
        if self.held.get(&claimed.id).is_some_and(|until| self.now < *until) {
            return Err(format!("{token} is held by two at once"));
        }
        self.held.insert(claimed.id, self.now.plus(LEASE));
        let outcome = self.provider.answer(&token, self.now, &mut self.rng);
        self.in_flight.push((claimed, outcome));
        Ok(())
    }

    fn hear_some(&mut self) {
        for _ in 0..=self.rng.below(6) {
            if !self.in_flight.is_empty() {
                self.hear_one();
            }
        }
    }

    /// One answer reaches the worker, in any order.
    fn hear_one(&mut self) {
        let index = usize::try_from(self.rng.below(self.in_flight.len() as u64)).unwrap();
        let (claimed, outcome) = self.in_flight.swap_remove(index);
        if let Outcome::PauseProvider(Delay::Throttled(Some(named))) = outcome {
            self.pause_named = self.pause_named.max(named);
        }
        self.guard.heard(self.now, "", outcome);
        if let Some(until) = self.governor.heard(self.now, outcome, &mut self.rng) {
            done(self.store.pause(&set(), until)).unwrap();
        }
        self.settle(&claimed, outcome);
    }

    fn settle(&mut self, claimed: &Claimed, said: Outcome) {
        let outcome = match (self.bug, said) {
            (Some(Bug::DropsOnServerErrors), Outcome::RetryMessage(Delay::ServerError(_)))
            | (Some(Bug::DropsOnGuardedProof), Outcome::DropSubscription(Proof::Guarded)) => {
                Outcome::DropSubscription(Proof::Unguarded)
            }
            (Some(Bug::IgnoresNamedTimes), Outcome::RetryMessage(_)) => {
                Outcome::RetryMessage(Delay::ServerError(Some(self.now)))
            }
            (Some(Bug::KeepsTheDead), Outcome::DropSubscription(Proof::Unguarded)) => {
                self.called_dead.insert(claimed.token.expose().to_owned());
                Outcome::Accepted
            }
            (_, outcome) => outcome,
        };
        let attempt =
            Attempt { number: claimed.attempts + 1, now: self.now, dry_run: claimed.dry_run };
        let end = match after(outcome, attempt, &RETRY, &mut self.rng) {
            After::Settle(how) => End::Settled(how),
            After::Dead(proof) => End::Dead(proof, Reason::OTHER),
            After::Suspect => {
                let is_trusted =
                    self.bug == Some(Bug::TrustsBlindly) || self.guard.is_trusted(self.now, "");
                End::Suspected(Suspicion { reason: Reason::OTHER, is_trusted })
            }
            After::Retry { due_at } => End::Retry(due_at),
        };
        let Claimed { id, lease, device, .. } = *claimed;
        let settlements = vec![Settlement { id, lease, device, end, strike: None }];
        let batch = SettleBatch { settlements, now: self.now, hold: HOLD, tell: Vec::new() };
        let report = done(self.store.settle(batch)).unwrap();
        if report.lost == 0 {
            self.held.remove(&id);
            let token = claimed.token.expose().to_owned();
            match said {
                Outcome::RetryMessage(
                    Delay::ServerError(Some(named)) | Delay::Throttled(Some(named)),
                ) => self.named.insert(token, (named, claimed.expires_at)),
                _ => self.named.remove(&token),
            };
        }
        if report.dropped > 0 {
            self.called_dead.insert(claimed.token.expose().to_owned());
        }
        self.story.push(format!("{:?} {} {end:?}", self.now, claimed.token.expose()));
    }

    /// What no plan foresees.
    fn trouble(&mut self) {
        match self.rng.below(5) {
            // The process is killed and starts again.
            0 => {
                if self.bug == Some(Bug::ForgetsInFlightAtACrash) {
                    for (claimed, _) in self.in_flight.clone() {
                        self.provider.taken.remove(claimed.token.expose());
                        self.settle(&claimed, Outcome::Accepted);
                    }
                }
                self.in_flight.clear();
                self.held.clear();
                self.store.give_back_all(self.now);
                let mut paused = done(self.store.paused_until(&set())).unwrap();
                if self.bug == Some(Bug::ForgetsPausesAtACrash) {
                    paused = None;
                }
                self.governor = Governor::new(SETTINGS, paused);
                self.guard = DropGuard::new(GUARD);
            }
            // The worker stands still; what it held is claimed by others before it goes on.
            1 => self.stale.append(&mut self.in_flight),
            2 => {
                for (claimed, outcome) in std::mem::take(&mut self.stale) {
                    self.settle(&claimed, outcome);
                }
            }
            3 => {
                let number = self.rng.below(10);
                self.register(number);
            }
            _ => {
                if self.bug == Some(Bug::GivesBackWhatIsHeld) {
                    self.store.give_back_all(self.now);
                }
                self.now =
                    self.now.plus(Duration::from_s(u32::try_from(self.rng.below(90)).unwrap()));
            }
        }
    }

    fn check_ledger(&self) -> Result<(), String> {
        let mut ledger = done(self.store.depth()).unwrap().ledger;
        if self.bug == Some(Bug::Miscounts) && ledger.settled(Settled::Sent) > 3 {
            ledger.accepted += 1;
        }
        if ledger.fits() { Ok(()) } else { Err(format!("the accounting does not fit: {ledger:?}")) }
    }
}
