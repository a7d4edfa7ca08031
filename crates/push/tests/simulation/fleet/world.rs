//! One fleet under one seed.

use std::collections::{BTreeMap, BTreeSet};

use reveille_mixer::{After, Attempt, RetrySettings, Schedule, after, order};
use reveille_model::{
    Audience, Delay, DryRun, Duration, EventType, LeaseId, Limit, NewSubscription, Notification,
    NotificationId, Outcome, Policy, Proof, Provider as Kind, Reason, Rng, Spread, SubscriptionId,
    Timestamp, Token, User, WakeupId,
};
use reveille_store::memory::MemoryStore;
use reveille_store::{
    AcceptError, Acceptance, Claim, Claimed, End, Expanded, Idempotency, Item, Next, Outbox as _,
    SettleBatch, Settlement, Subscriptions as _, TokenMessage,
};

use super::asking::Answer;
use super::network::Question;
use super::runs::Plant;
use crate::scenery::{done, message_type, set, sweep};

const STEPS: u32 = 400;
const QUIET_STEPS_MAX: u32 = 5_000;
const LEASE: Duration = Duration::from_s(60);
const TTL: Duration = Duration::from_s(36_000);
const HOLD: Duration = Duration::from_s(30);
/// No clock is further off: beyond it a node is not ready.
pub(super) const SKEW: Duration = Duration::from_s(1);
/// So many of one event type a user gets in a minute.
pub(super) const LIMIT: Limit = Limit { count: 2, per: Duration::from_s(60) };
const USERS: u64 = 8;

/// One process.
#[derive(Debug)]
struct Node {
    /// How far its clock is ahead, in milliseconds.
    ahead_ms: i64,
    /// Sent, and the answer on its way.
    in_flight: Vec<(Claimed, Outcome)>,
    closed: Timestamp,
    expanded: Timestamp,
    /// It does nothing until it is woken again, and does not know that time passes.
    stands_still: bool,
}

/// What was promised to whoever heard that it was accepted, and to whoever did not and was accepted all the same.
#[derive(Debug)]
pub(super) struct Promise {
    pub(super) token: String,
    pub(super) window_end: Timestamp,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) plant: Option<Plant>,
    pub(super) rng: Rng,
    /// The time there really is.
    pub(super) now: Timestamp,
    pub(super) store: MemoryStore,
    pub(super) schedule: Schedule,
    nodes: Vec<Node>,
    pub(super) is_stormy: bool,
    /// Asked by somebody who has given up.
    pub(super) late: Vec<(Timestamp, Question)>,
    /// Who holds what until when, as the store answered or would have.
    pub(super) held: BTreeMap<WakeupId, (LeaseId, Timestamp)>,
    /// Up to here all of what was gathered is expanded.
    pub(super) released: Timestamp,
    pub(super) promises: Vec<Promise>,
    /// When each token was last taken.
    pub(super) taken: BTreeMap<String, Timestamp>,
    /// Which request an idempotency key belongs to.
    pub(super) requests: BTreeMap<[u8; 32], u64>,
    /// By request how many wake-ups came of it.
    pub(super) accepted: BTreeMap<u64, u64>,
    /// By user and period how many notifications woke them.
    pub(super) woken: BTreeMap<(u64, Timestamp), u32>,
    /// Called dead on proof, and not registered again.
    pub(super) dead: BTreeSet<String>,
    pub(super) next: u64,
}

impl World {
    pub(super) fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut rng = Rng::from_number(seed);
        let now = Timestamp::from_ms(1_795_219_200_000 + rng.below(600_000).cast_signed());
        let schedule = if rng.below(2) == 0 {
            Schedule::Fixed { length: Duration::from_s(10) }
        } else {
            Schedule::Drawn { min: Duration::from_s(5), max: Duration::from_s(15), key: [7; 32] }
        };
        let nodes = 2 + rng.below(3);
        let far = if plant == Some(Plant::ClocksFarApart) { 20_000 } else { 0 };
        let skew = i64::try_from(SKEW.as_ms()).unwrap();
        let mut node = || Node {
            ahead_ms: rng.between(0, 2 * skew.unsigned_abs()).cast_signed() - skew + far,
            in_flight: Vec::new(),
            closed: Timestamp::EPOCH,
            expanded: Timestamp::EPOCH,
            stands_still: false,
        };
        let nodes = (0..nodes).map(|_| node()).collect();
        let mut world = Self {
            plant,
            rng,
            now,
            store: MemoryStore::default(),
            schedule,
            nodes,
            is_stormy: true,
            late: Vec::new(),
            held: BTreeMap::new(),
            released: Timestamp::EPOCH,
            promises: Vec::new(),
            taken: BTreeMap::new(),
            requests: BTreeMap::new(),
            accepted: BTreeMap::new(),
            woken: BTreeMap::new(),
            dead: BTreeSet::new(),
            next: 0,
        };
        for number in 0..USERS {
            world.register(number);
        }
        world
    }

    /// Everything that can happen, in any order.
    pub(super) fn stormy(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            let node = self.any_node();
            match self.rng.below(16) {
                0 | 1 => self.send_tokens(node)?,
                2 | 3 => self.notify(node)?,
                4 | 5 => self.now = self.now.plus(Duration::from_ms(self.rng.below(3_000))),
                6..=8 => self.window_step(node)?,
                9..=11 => self.claim(node)?,
                12 | 13 => self.hear_some(node)?,
                14 => self.trouble(node)?,
                _ => self.be_late()?,
            }
            self.check_ledger()?;
        }
        Ok(())
    }

    /// Nothing goes wrong any more: everything settles in bounded time.
    pub(super) fn quiet(&mut self) -> Result<(), String> {
        self.is_stormy = false;
        while !self.late.is_empty() {
            self.be_late()?;
        }
        for node in &mut self.nodes {
            node.stands_still = false;
        }
        for _ in 0..QUIET_STEPS_MAX {
            if done(self.store.depth()).unwrap().ledger.waiting == 0 {
                return Ok(());
            }
            for node in 0..self.nodes.len() {
                self.window_step(node)?;
                self.claim(node)?;
                while !self.node(node).in_flight.is_empty() {
                    self.hear_one(node)?;
                }
            }
            self.now = self.now.plus(Duration::from_s(2));
            self.check_ledger()?;
        }
        Err(format!("it does not settle: {:?}", done(self.store.depth()).unwrap().ledger))
    }

    /// Every promise is kept, by whichever node, and nothing was accepted more than once.
    pub(super) fn everything_arrived(&self) -> Result<(), String> {
        for Promise { token, window_end } in &self.promises {
            let has_arrived = self.taken.get(token).is_some_and(|at| at.plus(SKEW) >= *window_end);
            if !has_arrived && !token.ends_with("dead") {
                return Err(format!("{token} never arrived after {window_end:?}"));
            }
        }
        let ledger = done(self.store.depth()).unwrap().ledger;
        let expected: u64 = self.accepted.values().sum();
        if ledger.accepted != expected {
            return Err(format!("{expected} were accepted once, {} altogether", ledger.accepted));
        }
        for number in (0..USERS).filter(|number| !device(*number).ends_with("dead")) {
            let user = User::parse(&format!("user-{number}")).unwrap();
            if done(self.store.list(&user)).unwrap().len() != 1 {
                return Err(format!("{} was dropped though it lives", device(number)));
            }
        }
        Ok(())
    }

    fn any_node(&mut self) -> usize {
        usize::try_from(self.rng.below(self.nodes.len() as u64)).unwrap()
    }

    fn node(&mut self, node: usize) -> &mut Node {
        &mut self.nodes[node]
    }

    /// What time it is for a node.
    fn time_of(&self, node: usize) -> Timestamp {
        let ahead_ms = self.nodes[node].ahead_ms;
        Timestamp::from_ms(self.now.as_ms() + ahead_ms)
    }

    fn register(&mut self, number: u64) {
        let new = NewSubscription {
            user: User::parse(&format!("user-{number}")).unwrap(),
            set: set(),
            topic: None,
            token: Token::parse(Kind::Fcm, &device(number)).unwrap(),
        };
        self.dead.remove(&device(number));
        let fresh = SubscriptionId::from_bytes(self.rng.bytes_16());
        done(self.store.put(new, fresh, 10, self.now)).unwrap();
    }

    /// A caller asks one node, and where it hears nothing another one, under the same key.
    fn give(&mut self, first: usize, item: &Item) -> Result<(), String> {
        self.next += 1;
        let request = self.next;
        let mut key = self.fresh_key(request);
        let mut node = first;
        for _ in 0..4 {
            if self.plant == Some(Plant::RepeatsAreNew) {
                key = self.fresh_key(request);
            }
            let mut window_end = self.schedule.window(self.time_of(node)).end;
            for _ in 0..3 {
                // What a node is asked gets an id of its own there.
                let mut item = item.clone();
                if let Item::Notification(notification) = &mut item {
                    notification.id = NotificationId::from_bytes(self.rng.bytes_16());
                }
                let acceptance = Acceptance {
                    now: self.time_of(node),
                    window_end,
                    waiting_max: 10_000,
                    idempotency: Some(Idempotency { key, body: [0; 32] }),
                    items: vec![item],
                };
                match self.ask(Question::Accept(acceptance))? {
                    Some(Answer::Accepted(Err(AcceptError::WindowClosed {
                        closed_until, ..
                    }))) => {
                        window_end = self.schedule.window(closed_until).end;
                    }
                    Some(Answer::Accepted(Ok(_))) => return Ok(()),
                    _ => break,
                }
            }
            node = self.any_node();
        }
        Ok(())
    }

    fn fresh_key(&mut self, request: u64) -> [u8; 32] {
        let mut key = [0; 32];
        key.iter_mut().zip(self.rng.bytes_16()).for_each(|(place, byte)| *place = byte);
        self.requests.insert(key, request);
        key
    }

    fn send_tokens(&mut self, node: usize) -> Result<(), String> {
        let token = |world: &mut Self| match world.rng.below(3) {
            0 => format!("known-{}", world.rng.below(5)),
            _ => {
                world.next += 1;
                format!("token-{}", world.next)
            }
        };
        let tokens: BTreeSet<String> = (0..=self.rng.below(4)).map(|_| token(self)).collect();
        let item = Item::Tokens(TokenMessage {
            set: set(),
            topic: None,
            message_type: message_type(),
            ttl: TTL,
            dry_run: DryRun::No,
            tokens: tokens.iter().map(|token| Token::parse(Kind::Fcm, token).unwrap()).collect(),
            unusable: 0,
        });
        self.give(node, &item)
    }

    fn notify(&mut self, node: usize) -> Result<(), String> {
        let number = self.rng.below(USERS);
        // Where each node counts for itself.
        let event_type = match self.plant {
            Some(Plant::LimitsOfANode) => format!("mention-{node}"),
            _ => "mention".to_owned(),
        };
        let spread = match self.rng.below(4) {
            0 => self.schedule.spread(self.time_of(node), Duration::from_s(60)),
            _ => Spread::default(),
        };
        let notification = Notification {
            id: NotificationId::from_bytes(self.rng.bytes_16()),
            event_type: EventType::parse(&event_type).unwrap(),
            message_type: message_type(),
            audience: Audience::Users(vec![User::parse(&format!("user-{number}")).unwrap()]),
            ttl: TTL,
            dry_run: DryRun::No,
            deliver_after: None,
            spread,
            policy: Policy { limit: Some(LIMIT), ..Policy::OPEN },
            content: None,
        };
        self.give(node, &Item::Notification(notification))?;
        match self.woken.iter().find(|(_, count)| **count > LIMIT.count) {
            Some(((number, _), count)) => {
                Err(format!("user-{number} was woken {count} times in a period"))
            }
            None => Ok(()),
        }
    }

    /// One transaction of a node's window task.
    fn window_step(&mut self, node: usize) -> Result<(), String> {
        if self.node(node).stands_still {
            return Ok(());
        }
        let ended = self.schedule.window(self.time_of(node)).start;
        let Node { closed, expanded, .. } = *self.node(node);
        if ended > closed && self.plant != Some(Plant::SendsHalfABatch) {
            if self.ask(Question::Close(ended))?.is_some() {
                self.node(node).closed = ended;
            }
        } else if ended > expanded {
            let shuffle = order(&mut self.rng);
            let answer = self.ask(Question::Expand(ended, shuffle))?;
            if let Some(Answer::Expanded(Expanded { next: Next::Nothing, .. })) = answer {
                self.node(node).expanded = ended;
            }
        }
        Ok(())
    }

    fn claim(&mut self, node: usize) -> Result<(), String> {
        if self.node(node).stands_still {
            return Ok(());
        }
        let now = self.time_of(node);
        let claim = Claim {
            set: set(),
            now,
            lease: LeaseId::from_random(self.rng.next_u64()),
            lease_until: now.plus(LEASE),
            limit: 1 + usize::try_from(self.rng.below(8)).unwrap(),
            hold: HOLD,
        };
        if let Some(Answer::Claimed(claimed)) = self.ask(Question::Claim(claim))? {
            for claimed in claimed {
                self.send(node, claimed);
            }
        }
        Ok(())
    }

    fn send(&mut self, node: usize, claimed: Claimed) {
        let token = claimed.token.expose().to_owned();
        let outcome = match self.rng.below(10) {
            _ if token.ends_with("dead") => Outcome::DropSubscription(Proof::Unguarded),
            0 if self.is_stormy => Outcome::RetryMessage(Delay::ServerError(None)),
            _ => {
                self.taken.insert(token, self.now);
                Outcome::Accepted
            }
        };
        self.node(node).in_flight.push((claimed, outcome));
    }

    fn hear_some(&mut self, node: usize) -> Result<(), String> {
        for _ in 0..=self.rng.below(6) {
            let Node { stands_still, in_flight, .. } = self.node(node);
            if !*stands_still && !in_flight.is_empty() {
                self.hear_one(node)?;
            }
        }
        Ok(())
    }

    /// An answer reaches a node, which settles; and again, until it hears that this was done.
    fn hear_one(&mut self, node: usize) -> Result<(), String> {
        let count = self.node(node).in_flight.len() as u64;
        let index = usize::try_from(self.rng.below(count)).unwrap();
        let (claimed, outcome) = self.node(node).in_flight.swap_remove(index);
        let attempt =
            Attempt { number: claimed.attempts + 1, now: self.time_of(node), dry_run: DryRun::No };
        let end = match after(outcome, attempt, &RetrySettings::FCM, &mut self.rng) {
            After::Settle(how) => End::Settled(how),
            After::Dead(proof) => End::Dead(proof, Reason::OTHER),
            After::Retry { due_at } => End::Retry(due_at),
            After::Suspect => unreachable!("nobody is suspected here"),
        };
        let Claimed { id, device, .. } = claimed;
        let mut lease = claimed.lease;
        if self.plant == Some(Plant::SettlesWhatIsLost)
            && let Some((holder, _)) = self.held.get(&id)
        {
            lease = *holder;
        }
        let was_held = self.held.get(&id).is_some_and(|(holder, _)| *holder == claimed.lease);
        let settlements = vec![Settlement { id, lease, device, end, strike: None }];
        let now = self.time_of(node);
        let batch = SettleBatch { settlements, now, hold: HOLD, tell: Vec::new() };
        let answer = self.ask(Question::Settle(batch))?;
        if let Some(Answer::Settled(report)) = answer {
            if !was_held && (report.lost == 0 || report.dropped > 0) {
                return Err("what was lost was settled".to_owned());
            }
            if report.dropped > 0 {
                self.dead.insert(claimed.token.expose().to_owned());
            }
        }
        // Whether its device is gone is seen where it matters: at the store.
        self.look_who_is_there();
        Ok(())
    }

    fn look_who_is_there(&mut self) {
        for number in (0..USERS).filter(|number| device(*number).ends_with("dead")) {
            let user = User::parse(&format!("user-{number}")).unwrap();
            if done(self.store.list(&user)).unwrap().is_empty() {
                self.dead.insert(device(number));
            }
        }
    }

    /// What no plan foresees.
    fn trouble(&mut self, node: usize) -> Result<(), String> {
        match self.rng.below(6) {
            // It is killed, and starts again: what it held comes back when its leases end.
            0 => {
                let sent = std::mem::take(&mut self.node(node).in_flight);
                if self.plant == Some(Plant::ForgetsWhatTheDeadHeld) {
                    for (claimed, _) in sent {
                        self.taken.remove(claimed.token.expose());
                        self.node(node).in_flight.push((claimed, Outcome::Accepted));
                        self.hear_one(node)?;
                    }
                }
                let node = self.node(node);
                (node.closed, node.expanded) = (Timestamp::EPOCH, Timestamp::EPOCH);
                node.stands_still = false;
            }
            // It stands still, longer than any lease; then it goes on where it was.
            1 => self.node(node).stands_still = true,
            2 => self.node(node).stands_still = false,
            // Its clock is set.
            3 if self.plant != Some(Plant::ClocksFarApart) => {
                let skew = SKEW.as_ms();
                let ahead_ms = self.rng.between(0, 2 * skew).cast_signed() - skew.cast_signed();
                self.node(node).ahead_ms = ahead_ms;
            }
            4 => {
                let number = self.rng.below(USERS);
                self.register(number);
            }
            _ => {
                let seconds = u32::try_from(self.rng.below(90)).unwrap();
                self.now = self.now.plus(Duration::from_s(seconds));
                drop(done(self.store.sweep(sweep(self.now))));
            }
        }
        Ok(())
    }

    fn check_ledger(&self) -> Result<(), String> {
        let ledger = done(self.store.depth()).unwrap().ledger;
        if ledger.fits() { Ok(()) } else { Err(format!("the accounting does not fit: {ledger:?}")) }
    }
}

/// Devices of users, by number. One is dead at its provider.
pub(super) fn device(number: u64) -> String {
    format!("device-{number}-{}", if number == 0 { "dead" } else { "alive" })
}
