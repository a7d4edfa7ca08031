//! One world under one seed: users who come and go, and a window task that may be killed between any two steps.

use std::collections::BTreeSet;

use reveille_mixer::{
    After, Attempt, RetrySettings, Schedule, Window, after, fill, form, last_beat, leaves, order,
    wants_padding,
};
use reveille_model::{
    Audience, Cohort, CohortSizes, CredentialSet, Delay, DryRun, Duration, EventType, LeaseId,
    Marked, NewSubscription, Notification, NotificationId, Outcome, Policy, Reason, Rng, Settled,
    Spread, SubscriptionChange, SubscriptionId, Timestamp, Token,
};
use reveille_store::memory::MemoryStore;
use reveille_store::{
    AcceptError, Acceptance, Accepted, Claim, Claimed, Cohorts as _, End, Group, Item, Leaving,
    Mix, Next, Outbox as _, SettleBatch, Settlement, Subscriptions as _, Users as _,
};

use super::checks::Checks;
use super::scenery::{BEAT, Bug, KINDS, LENGTH, SIZES, USERS, like, set_of, settings, user};
use crate::provider::{Habits, Provider};
use crate::scenery::{done, message_type, sweep};

const STEPS: u32 = 260;
const QUIET_STEPS_MAX: u32 = 3_000;
const LEASE: Duration = Duration::from_s(60);
const HOLD: Duration = Duration::from_s(30);
const RETRY: RetrySettings = RetrySettings::FCM;

/// How far the release of a window has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Closed,
    /// Those who can form cohorts; then it is decided which leave.
    ToMuster,
}

#[derive(Debug)]
pub(crate) struct World {
    bug: Option<Bug>,
    rng: Rng,
    now: Timestamp,
    store: MemoryStore,
    schedule: Schedule,
    provider: Provider,
    phase: Phase,
    until: Timestamp,
    in_flight: Vec<(Claimed, Outcome)>,
    next: u64,
    checks: Checks,
    /// Whether each event names another member of the cohort, and how often that was somebody else.
    pub(super) names_others: bool,
    pub(super) twisted: u64,
    /// What anybody could see, where it is told.
    pub(super) is_told: bool,
    pub(super) story: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut rng = Rng::from_number(seed);
        let now = Timestamp::from_ms(1_795_219_200_000 + rng.below(600_000).cast_signed());
        let schedule = Schedule::Fixed { length: LENGTH };
        let provider = Provider::new(Habits::draw(&mut rng));
        let mut world = Self {
            bug,
            now,
            store: MemoryStore::default(),
            until: schedule.window(now).start,
            schedule,
            provider,
            phase: Phase::Idle,
            in_flight: Vec::new(),
            next: 0,
            checks: Checks::default(),
            names_others: false,
            twisted: 0,
            is_told: false,
            story: Vec::new(),
            rng,
        };
        let sizes = match bug {
            Some(Bug::WakesTheSpent) => CohortSizes { floor: 1, ..SIZES },
            _ => SIZES,
        };
        let silent = match bug {
            Some(Bug::NotesWhoWasMeant) => BTreeSet::new(),
            _ => KINDS.map(set_of).into(),
        };
        let mix = Mix {
            sizes: Some(sizes),
            silent,
            message_type: message_type(),
            ttl: Duration::from_s(36_000),
            ghost_after_erasure: bug != Some(Bug::MovesTheEquipped),
        };
        done(world.store.mix(mix)).unwrap();
        // Some begin with cohorts, some with next to nobody.
        for number in 0..world.rng.below(USERS) {
            world.register(number);
        }
        world
    }

    /// Everything that can happen, in any order.
    pub(crate) fn stormy(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            match self.rng.below(20) {
                0..=3 => self.notify()?,
                4..=6 => self.now = self.now.plus(Duration::from_ms(self.rng.below(4_000))),
                7..=11 => self.window_step()?,
                12..=14 => self.claim(),
                15..=16 => self.hear_some(),
                17 => self.device_comes_or_goes(),
                18 => self.trouble(),
                _ => drop(done(self.store.sweep(sweep(self.now)))),
            }
            self.after_step()?;
        }
        Ok(())
    }

    /// The provider is good again, and nobody comes or goes: everything settles in bounded time.
    pub(crate) fn quiet(&mut self) -> Result<(), String> {
        self.provider.habits = Habits::GOOD;
        // Whatever was sealed no longer is woken at the next beat.
        let beat_is_over = self.now.plus(BEAT).plus(LENGTH).plus(LENGTH);
        for _ in 0..QUIET_STEPS_MAX {
            let has_marks = !self.store.marks().is_empty();
            let waiting = done(self.store.depth()).unwrap().ledger.waiting;
            if waiting == 0 && !has_marks && self.phase == Phase::Idle && self.now > beat_is_over {
                return Ok(());
            }
            // More than a release of nothing takes, so that it ends within a window.
            for _ in 0..6 {
                self.window_step()?;
            }
            self.claim();
            while !self.in_flight.is_empty() {
                self.hear_one();
            }
            // A cohort that has spent its budget may have long to wait.
            let marks = self.store.marks().len() as u64;
            let only_marks = done(self.store.depth()).unwrap().ledger.waiting == marks;
            self.now = self.now.plus(Duration::from_s(if only_marks { 20 } else { 3 }));
            self.after_step()?;
        }
        Err(format!("it does not settle: {:?}", done(self.store.depth()).unwrap().ledger))
    }

    pub(crate) fn everything_arrived(&self) -> Result<(), String> {
        self.checks.everything_arrived(&self.store, self.now)
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.is_told {
            self.story.push(what());
        }
    }

    fn after_step(&mut self) -> Result<(), String> {
        let ledger = done(self.store.depth()).unwrap().ledger;
        let marks = self.store.marks();
        self.note(|| format!("{ledger:?} {marks:?}"));
        self.checks.beats(&self.store, self.now)?;
        let census = done(self.store.census(self.now)).unwrap();
        if census.partial > 0 {
            return Err("a user is not where they belong".to_owned());
        }
        if ledger.fits() { Ok(()) } else { Err(format!("the accounting does not fit: {ledger:?}")) }
    }

    fn register(&mut self, number: u64) {
        self.next += 1;
        let is_dead = self.rng.below(12) == 0;
        let fate = if is_dead { "dead" } else { "a11e" };
        let kind = KINDS[usize::from(self.rng.below(3) == 0)];
        let token = format!("{number:04x}{:056x}{fate}", self.next);
        let new = NewSubscription {
            user: user(number),
            set: set_of(kind),
            topic: None,
            token: Token::parse(kind, &token).unwrap(),
        };
        let fresh = SubscriptionId::from_bytes(self.rng.bytes_16());
        if self.bug == Some(Bug::MovesTheEquipped) {
            self.move_all(number);
        }
        done(self.store.put(new, fresh, 2, self.now)).unwrap();
    }

    /// Whoever gets another device waits anew with all they have.
    fn move_all(&self, number: u64) {
        let listed = done(self.store.list(&user(number))).unwrap();
        done(self.store.erase(&user(number), vec![message_type()])).unwrap();
        for each in listed {
            let new =
                NewSubscription { user: each.user, set: each.set, topic: None, token: each.token };
            done(self.store.put(new, each.id, 2, self.now)).unwrap();
        }
    }

    fn device_comes_or_goes(&mut self) {
        let number = self.rng.below(USERS);
        let listed = done(self.store.list(&user(number))).unwrap();
        let first = listed.first().map(|each| each.id);
        match (self.rng.below(8), first) {
            (0..=3, _) | (_, None) => self.register(number),
            (4, Some(id)) => drop(done(self.store.delete(&user(number), id))),
            (5, Some(_)) => drop(done(self.store.erase(&user(number), vec![message_type()]))),
            (6, Some(id)) => {
                let sealed = Some(self.rng.below(2) == 0);
                let change = SubscriptionChange { sealed, ..SubscriptionChange::default() };
                done(self.store.change(&user(number), id, change, self.now)).unwrap();
            }
            // Whoever looks cancels nothing.
            _ => {
                done(self.store.fetched(&user(number), vec![message_type()])).unwrap();
            }
        }
    }

    /// Something happens to somebody: in the twin of this world to another one of their cohort.
    fn notify(&mut self) -> Result<(), String> {
        let drawn = user(self.rng.below(USERS));
        let shift = self.rng.next_u64();
        let later = Duration::from_ms(self.rng.below(40_000));
        let deliver_after = (self.rng.below(4) == 0).then(|| self.now.plus(later));
        let mut meant = drawn.clone();
        if self.names_others && self.bug != Some(Bug::NotesWhoWasMeant) {
            let like = like(&self.store, &drawn, deliver_after);
            let place = shift.checked_rem(like.len() as u64).unwrap_or_default();
            meant = like.into_iter().nth(usize::try_from(place).unwrap()).unwrap_or(meant);
        } else if self.names_others {
            meant = user(shift % USERS);
        }
        self.twisted += u64::from(meant != drawn);
        let notification = Notification {
            id: NotificationId::from_bytes(self.rng.bytes_16()),
            event_type: EventType::parse("mention").unwrap(),
            message_type: message_type(),
            audience: Audience::Users(vec![meant.clone()]),
            ttl: Duration::from_s(60),
            dry_run: DryRun::No,
            deliver_after,
            spread: Spread::default(),
            policy: Policy::OPEN,
            content: None,
        };
        let mut window_end = self.schedule.window(self.now).end;
        for _ in 0..3 {
            let acceptance = Acceptance {
                now: self.now,
                window_end,
                waiting_max: 10_000,
                idempotency: None,
                items: vec![Item::Notification(notification.clone())],
            };
            match done(self.store.accept(acceptance)) {
                Ok(accepted) => {
                    let trail = done(reveille_store::Trails::find(&self.store, notification.id));
                    self.note(|| format!("{accepted:?} {trail:?}"));
                    if matches!(accepted, Accepted::New { wakeups: 1.., .. }) {
                        let due = deliver_after.filter(|due| *due >= window_end);
                        let leaves = due.map_or(window_end, |due| self.schedule.window(due).end);
                        self.checks.promised(&self.store, &meant, leaves);
                    }
                    return Ok(());
                }
                Err(AcceptError::WindowClosed { closed_until, .. }) => {
                    window_end = self.schedule.window(closed_until).end;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("no window is open".to_owned())
    }

    /// One transaction of the window task, or of the task that gathers company.
    fn window_step(&mut self) -> Result<(), String> {
        let open = self.schedule.window(self.now);
        if self.rng.below(2) == 0 && self.bug != Some(Bug::SealsNobody) {
            let beat = last_beat(open.end, BEAT);
            done(self.store.beat(beat, open.end)).unwrap();
        }
        match self.phase {
            Phase::Idle if open.start > self.until => {
                self.until = open.start;
                done(self.store.close(self.until)).unwrap();
                self.phase = Phase::Closed;
            }
            Phase::Idle => {}
            Phase::Closed => self.expand()?,
            Phase::ToMuster => {
                if !self.form() {
                    self.muster()?;
                    self.phase = Phase::Closed;
                }
            }
        }
        Ok(())
    }

    /// Forms cohorts of one nursery. Returns whether there was one.
    fn form(&mut self) -> bool {
        let nurseries = done(self.store.nurseries()).unwrap();
        let Some(nursery) = nurseries.first() else { return false };
        let sizes: Vec<usize> = nursery.groups.iter().map(|(_, size)| *size).collect();
        let cohorts: Vec<Vec<Group>> = form(&sizes, SIZES, &mut self.rng)
            .into_iter()
            .map(|places| places.into_iter().map(|place| nursery.groups[place].0).collect())
            .collect();
        if cohorts.is_empty() {
            return false;
        }
        done(self.store.found(nursery.stratum, cohorts)).unwrap()
    }

    fn muster(&mut self) -> Result<(), String> {
        if self.bug == Some(Bug::WakesBeforeTheMuster) && self.rng.below(8) == 0 {
            let marked = done(self.store.marked(self.until)).unwrap();
            let leave = |each: &Marked| Leaving { id: each.cohort.id, paid_at: self.until };
            assert!(done(self.store.lead(self.until, marked.iter().map(leave).collect())).unwrap());
            done(self.store.mustered(self.until)).unwrap();
            return Ok(());
        }
        let window = Window { start: self.until.minus(LENGTH), end: self.until };
        let settings = settings(self.bug);
        let marked = done(self.store.marked(self.until)).unwrap();
        self.note(|| format!("{marked:?}"));
        let mut leaving: Vec<Cohort> = Vec::new();
        for each in &marked {
            if self.bug == Some(Bug::ForgetsMarks) && each.cohort.id.0 % 2 == 0 {
                continue;
            }
            if leaves(each, window, &settings).is_ok() {
                Checks::leaves(each, self.until)?;
                leaving.push(each.cohort);
            }
        }
        let others = done(self.store.cohorts()).unwrap();
        let mut padding = Vec::new();
        if wants_padding(&leaving, &settings) && self.bug != Some(Bug::NeverPads) {
            padding = fill(&leaving, &others, self.until, &settings, &mut self.rng);
        }
        let ids = leaving.iter().map(|each| each.id).chain(padding.iter().copied());
        let paid = |id| {
            let known =
                marked.iter().map(|each: &Marked| each.cohort).chain(others.iter().copied());
            known.clone().find(|each| each.id == id).and_then(|each| each.paid_at)
        };
        let all: Vec<Leaving> = ids
            .map(|id| Leaving { id, paid_at: settings.budget.spend(paid(id), self.until) })
            .collect();
        self.note(|| format!("{all:?}"));
        self.checks.led(&leaving, &padding, (&others, self.until))?;
        assert!(done(self.store.lead(self.until, all)).unwrap());
        done(self.store.mustered(self.until)).unwrap();
        Ok(())
    }

    fn expand(&mut self) -> Result<(), String> {
        let before = (self.store.cohort_facts(), self.store.marks());
        self.checks.company(&self.store, &before.0)?;
        let shuffle = order(&mut self.rng);
        let expanded = done(self.store.expand(self.until, shuffle)).unwrap();
        self.note(|| format!("{expanded:?}"));
        if self.bug == Some(Bug::LosesOneOfACohort)
            && let Some(id) = self.store.waiting_devices().first().copied()
        {
            let owner = (0..USERS).map(user).find_map(|user| {
                let listed = done(self.store.list(&user)).unwrap();
                listed.into_iter().find(|each| each.id == id)
            });
            if let Some(each) = owner {
                let new = NewSubscription {
                    user: each.user.clone(),
                    set: each.set,
                    topic: None,
                    token: each.token,
                };
                done(self.store.delete(&each.user, id)).unwrap();
                let again = done(self.store.put(new, id, 2, self.now));
                again.unwrap();
                for kind in KINDS {
                    let claim = self.claim_of(set_of(kind), 1);
                    drop(done(self.store.claim(claim)));
                }
            }
        }
        self.checks.expanded(&self.store, before, self.until)?;
        if expanded.next == Next::Muster {
            self.phase = Phase::ToMuster;
        }
        if expanded.is_done() {
            self.phase = Phase::Idle;
        }
        Ok(())
    }

    fn claim_of(&mut self, set: CredentialSet, limit: usize) -> Claim {
        Claim {
            set,
            now: self.now,
            lease: LeaseId::from_random(self.rng.next_u64()),
            lease_until: self.now.plus(LEASE),
            limit,
            hold: HOLD,
        }
    }

    fn claim(&mut self) {
        let limit = 1 + usize::try_from(self.rng.below(10)).unwrap();
        let mut all = Vec::new();
        for kind in KINDS {
            let claim = self.claim_of(set_of(kind), limit);
            all.extend(done(self.store.claim(claim)).unwrap());
        }
        for claimed in all {
            let token = claimed.token.expose().to_owned();
            let now = self.now;
            self.note(|| format!("{now:?} {token} {claimed:?}"));
            if self.bug == Some(Bug::ForgetsOneInFlight) && self.rng.below(4) == 0 {
                self.settle(&claimed, Outcome::Accepted);
                continue;
            }
            if let Some(device) = claimed.device {
                self.checks.attempted(device.subscription, self.now);
            }
            let outcome = self.provider.answer(&token, self.now, &mut self.rng);
            let outcome = match outcome {
                // Pauses are another simulation's.
                Outcome::PauseProvider(_) | Outcome::ConfigError => {
                    Outcome::RetryMessage(Delay::Unanswered)
                }
                other => other,
            };
            self.in_flight.push((claimed, outcome));
        }
    }

    fn hear_some(&mut self) {
        for _ in 0..=self.rng.below(8) {
            if !self.in_flight.is_empty() {
                self.hear_one();
            }
        }
    }

    fn hear_one(&mut self) {
        let index = self.rng.index(self.in_flight.len());
        let (claimed, outcome) = self.in_flight.swap_remove(index);
        self.settle(&claimed, outcome);
    }

    fn settle(&mut self, claimed: &Claimed, outcome: Outcome) {
        let attempt =
            Attempt { number: claimed.attempts + 1, now: self.now, dry_run: claimed.dry_run };
        let end = match after(outcome, attempt, &RETRY, &mut self.rng) {
            After::Settle(how) => End::Settled(how),
            After::Dead(proof) => End::Dead(proof, Reason::OTHER),
            After::Suspect => End::Settled(Settled::Dead),
            After::Retry { due_at } => End::Retry(due_at),
        };
        let Claimed { id, lease, device, .. } = *claimed;
        let settlements = vec![Settlement { id, lease, device, end, strike: None }];
        let batch = SettleBatch { settlements, now: self.now, hold: HOLD, tell: Vec::new() };
        let report = done(self.store.settle(batch)).unwrap();
        self.note(|| format!("{report:?}"));
    }

    fn trouble(&mut self) {
        match self.rng.below(3) {
            0 | 1 => self.crash(),
            _ => {
                let long = Duration::from_s(u32::try_from(self.rng.below(90)).unwrap());
                self.now = self.now.plus(long);
            }
        }
    }

    /// The process is killed and starts again: it begins with what ended while nobody looked.
    fn crash(&mut self) {
        self.in_flight.clear();
        self.store.give_back_all(self.now);
        self.until = self.schedule.window(self.now).start.max(self.until);
        done(self.store.close(self.until)).unwrap();
        self.phase = Phase::Closed;
    }
}
