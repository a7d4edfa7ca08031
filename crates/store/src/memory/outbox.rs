//! The outbox in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use reveille_model::limits::{PROOF_RETENTION_S, SUBSCRIPTIONS_PER_USER_MAX, TARGETS_PER_ROW_MAX};
use reveille_model::{
    Audience, CohortId, CredentialSet, DryRun, Duration, EventType, NewSubscription, Notification,
    NotificationId, Policy, Settled, Shuffle, Subscription, SubscriptionId, Timestamp, Token,
    Topic, User,
};

use sha2::{Digest as _, Sha256};

use super::MemoryStore;
use super::cohorts::Mixed;
use super::state::{
    Gathered, Meant, Remembered, Row, Scheduled, Shape, State, Target, Targets, TrailRow,
};
use crate::subscriptions::first_16;
use crate::{
    AcceptError, Acceptance, Accepted, Claim, Claimed, Depth, Device, Expanded, Item, Outbox,
    SettleBatch, SettleReport, StoreError, Sweep, Swept, TokenKey, TokenMessage, WakeupKey,
};

/// What is asked before somebody is woken.
struct Asked<'a> {
    event_type: &'a EventType,
    policy: Policy,
    dry_run: DryRun,
    now: Timestamp,
}

/// Whom an audience wakes.
#[derive(Default)]
struct Answered {
    cohorts: BTreeSet<CohortId>,
    devices: Vec<SubscriptionId>,
    /// Wake-ups that a limit keeps back: a user's cohorts are one.
    limited: u64,
    /// Users who do not want it.
    muted: u64,
}

/// What becomes of a gathered target.
enum Meaning {
    Wake(CredentialSet, Target),
    /// It has been sealed since: it is woken with the others that are.
    NextBeat,
    /// It is gone, or its user has looked.
    Gone,
}

impl State {
    /// The users an audience names who have devices, with those of their devices that are meant.
    fn resolve(&self, audience: &Audience) -> BTreeMap<User, BTreeSet<SubscriptionId>> {
        let mut found: BTreeMap<User, BTreeSet<SubscriptionId>> = BTreeMap::new();
        let meant: Vec<Subscription> = match audience {
            Audience::Users(users) => {
                users.iter().flat_map(|user| self.subscriptions_of(user)).collect()
            }
            Audience::Subscriptions(ids) => {
                ids.iter().filter_map(|id| self.subscriptions.get(id)).cloned().collect()
            }
        };
        for each in meant {
            found.entry(each.user).or_default().insert(each.id);
        }
        found
    }

    /// Whom an audience wakes, as far as its policy allows.
    fn ask(&mut self, audience: &Audience, asked: &Asked<'_>) -> Answered {
        let Asked { event_type, policy, dry_run, now } = *asked;
        let mut answered = Answered::default();
        let named: BTreeSet<User> = match audience {
            Audience::Users(users) => users.iter().cloned().collect(),
            Audience::Subscriptions(_) => BTreeSet::new(),
        };
        let mut found = self.resolve(audience);
        for user in named {
            // Whoever is gone may have left a ghost.
            found.entry(user).or_default();
        }
        for (user, ids) in found {
            let is_batch = |id: &SubscriptionId| {
                self.subscriptions.get(id).is_some_and(|each| self.mixed(each) == Mixed::Batch)
            };
            let devices: Vec<SubscriptionId> = ids.into_iter().filter(is_batch).collect();
            // Also of a user whose devices belong to none any more: of one who has left it a ghost.
            let cohorts = self.cohorts_for(&user);
            if devices.is_empty() && cohorts.is_empty() {
                continue;
            }
            // Nobody is woken by a dry run, so that it counts for nothing.
            let limit = policy.limit.filter(|_| dry_run == DryRun::No);
            if !self.said(&user, event_type).unwrap_or(policy.wakes) {
                answered.muted += 1;
            } else if limit.is_none_or(|limit| self.is_within(&user, event_type, (limit, now))) {
                answered.devices.extend(devices);
                answered.cohorts.extend(cohorts);
            } else {
                answered.limited += devices.len() as u64 + u64::from(!cohorts.is_empty());
            }
        }
        answered
    }

    /// Lets the devices of an audience join a window, and marks its cohorts. Returns how many, and how many users do not want it.
    fn gather_subscriptions(
        &mut self,
        id: NotificationId,
        Scheduled { due, shape, meant, event_type, policy, content }: Scheduled,
        (now, window_end): (Timestamp, Timestamp),
    ) -> (u64, u64) {
        let answered = match meant {
            Meant::Named(audience) => {
                if let Some(content) = &content {
                    self.deliver(&audience, (id, due), &event_type, content);
                }
                let (event_type, dry_run) = (&event_type, shape.dry_run);
                self.ask(&audience, &Asked { event_type, policy, dry_run, now })
            }
            Meant::Found { cohorts, devices } => {
                Answered { cohorts, devices, ..Answered::default() }
            }
        };
        let Answered { cohorts, devices, limited, muted } = answered;
        for chunk in devices.chunks(TARGETS_PER_ROW_MAX) {
            let targets = Targets::Subscriptions(chunk.to_vec());
            self.gather(window_end, Some(id), shape.clone(), targets);
        }
        let count = devices.len() as u64;
        let marked = self.wake_cohorts((&cohorts, shape.dry_run), window_end);
        if let Some(trail) = self.trails.get_mut(&id) {
            trail.window_end = Some(window_end);
            trail.last_window = window_end;
            trail.cohorts = marked;
        }
        self.count(Some(id), |ledger| {
            ledger.accepted += count + limited;
            ledger.waiting += count;
            ledger.settle(Settled::Limited, limited);
        });
        (count + marked, muted)
    }

    /// Marks cohorts. A dry run stops here: the network would show it.
    fn wake_cohorts(
        &mut self,
        (cohorts, dry_run): (&BTreeSet<CohortId>, DryRun),
        window_end: Timestamp,
    ) -> u64 {
        if dry_run == DryRun::No {
            return self.mark_all(cohorts, window_end);
        }
        let count = cohorts.len() as u64;
        self.ledger.accepted += count;
        self.ledger.settle(Settled::DryRun, count);
        count
    }

    fn accept_tokens(&mut self, message: TokenMessage, window_end: Timestamp) -> u64 {
        let (usable, unusable) = (message.tokens.len() as u64, u64::from(message.unusable));
        self.count(None, |ledger| {
            ledger.accepted += usable + unusable;
            ledger.waiting += usable;
            ledger.settle(Settled::PayloadError, unusable);
        });
        let TokenMessage { set, topic, message_type, ttl, dry_run, tokens, .. } = message;
        let shape = Shape { message_type, ttl, dry_run };
        self.gather(window_end, None, shape, Targets::Tokens { set, topic, tokens });
        usable
    }

    /// Whose tokens these are, so that they are woken as a whole. Those nobody has registered belong to one who has no name.
    fn accept_silent_tokens(
        &mut self,
        message: TokenMessage,
        (now, window_end): (Timestamp, Timestamp),
    ) -> u64 {
        let unusable = u64::from(message.unusable);
        self.ledger.accepted += unusable;
        self.ledger.settle(Settled::PayloadError, unusable);
        let (mut users, mut fresh) = (BTreeSet::new(), Vec::new());
        for token in message.tokens {
            let key = TokenKey::unkeyed(message.set.provider(), &token);
            match self.by_token.get(&key).and_then(|id| self.subscriptions.get(id)) {
                Some(known) => drop(users.insert(known.user.clone())),
                None => fresh.push(token),
            }
        }
        let unnamed: Vec<&User> = users.iter().filter(|user| user.is_unnamed()).collect();
        let joined = match unnamed.as_slice() {
            [only] if users.len() == 1 => Some((*only).clone()),
            _ => None,
        };
        for tokens in fresh.chunks(SUBSCRIPTIONS_PER_USER_MAX) {
            let user = joined.clone().unwrap_or_else(|| Self::unnamed(tokens));
            for token in tokens {
                let new = NewSubscription {
                    user: user.clone(),
                    set: message.set.clone(),
                    topic: message.topic.clone(),
                    token: token.clone(),
                };
                let key = TokenKey::unkeyed(message.set.provider(), token);
                let id = SubscriptionId::from_bytes(key.0);
                self.put(new, id, usize::MAX, now);
            }
            users.insert(user);
        }
        self.enrol();
        let cohorts: BTreeSet<CohortId> =
            users.iter().flat_map(|user| self.cohorts_for(user)).collect();
        self.wake_cohorts((&cohorts, message.dry_run), window_end)
    }

    fn unnamed(tokens: &[Token]) -> User {
        let first = tokens.first().map(Token::expose).unwrap_or_default();
        User::unnamed(first_16(&Sha256::digest(first)))
    }

    fn accept_notification(
        &mut self,
        notification: Notification,
        (now, window_end): (Timestamp, Timestamp),
    ) -> (u64, u64) {
        let Notification { id, event_type, message_type, audience, ttl, dry_run, .. } =
            notification;
        let Notification { deliver_after, policy, content, .. } = notification;
        let shape = Shape { message_type, ttl, dry_run };
        self.trails.insert(
            id,
            TrailRow {
                window_end: None,
                deliver_after,
                taken_back: false,
                cohorts: 0,
                last_window: deliver_after.unwrap_or(window_end).max(window_end),
                ledger: reveille_model::Ledger::default(),
            },
        );
        let meant = Meant::Named(audience);
        let scheduled = Scheduled { due: now, shape, meant, event_type, policy, content };
        match deliver_after {
            Some(due) if due >= window_end => {
                let mut scheduled = Scheduled { due, ..scheduled };
                let mut muted = 0;
                if self.are_cohorts_on()
                    && scheduled.content.is_none()
                    && let Meant::Named(audience) = &scheduled.meant
                {
                    let (event_type, dry_run) = (&scheduled.event_type, scheduled.shape.dry_run);
                    let answered = self.ask(audience, &Asked { event_type, policy, dry_run, now });
                    muted = answered.muted;
                    self.count(Some(id), |ledger| {
                        ledger.accepted += answered.limited;
                        ledger.settle(Settled::Limited, answered.limited);
                    });
                    let Answered { cohorts, devices, .. } = answered;
                    scheduled.meant = Meant::Found { cohorts, devices };
                }
                self.scheduled.insert(id, scheduled);
                (0, muted)
            }
            _ => self.gather_subscriptions(id, scheduled, (now, window_end)),
        }
    }

    /// What becomes of a registered device that a gathered row names.
    fn device_of(&self, row: &Gathered, id: SubscriptionId) -> Meaning {
        let Some(known) = self.subscriptions.get(&id) else { return Meaning::Gone };
        let is_company =
            row.notification.is_none() && matches!(row.targets, Targets::Subscriptions(_));
        if !is_company {
            if self.mixed(known) == Mixed::Sealed {
                return Meaning::NextBeat;
            }
            if self.fetched.get(&id).is_some_and(|until| row.number < *until) {
                return Meaning::Gone;
            }
        }
        Meaning::Wake(known.set.clone(), Target::Subscription(id))
    }

    /// What becomes of each target of a gathered row. A token somebody registered stands for its device.
    fn targets_of(&self, row: &Gathered) -> Vec<Meaning> {
        match &row.targets {
            Targets::Tokens { set, topic, tokens } => {
                let of_token = |token: &Token| match self
                    .by_token
                    .get(&TokenKey::unkeyed(set.provider(), token))
                {
                    Some(id) => self.device_of(row, *id),
                    None => {
                        let target = Target::Token { token: token.clone(), topic: topic.clone() };
                        Meaning::Wake(set.clone(), target)
                    }
                };
                tokens.iter().map(of_token).collect()
            }
            Targets::Subscriptions(ids) => ids.iter().map(|id| self.device_of(row, *id)).collect(),
        }
    }

    fn expand_row(&mut self, row: &Gathered, keys: &mut impl Iterator<Item = i64>) -> (u64, u64) {
        let (mut made, mut collapsed, mut gone) = (0, 0, 0);
        let of_row = (row.notification, row.window_end, &row.shape);
        for meaning in self.targets_of(row) {
            match meaning {
                Meaning::Gone => gone += 1,
                Meaning::NextBeat => collapsed += 1,
                Meaning::Wake(set, target) => {
                    if self.make_wakeup(of_row, set, target, keys.next().unwrap_or_default()) {
                        made += 1;
                    } else {
                        collapsed += 1;
                    }
                }
            }
        }
        self.count(row.notification, |ledger| {
            ledger.waiting -= gone;
            ledger.settle(Settled::Cancelled, gone);
        });
        self.count(row.notification, |ledger| {
            ledger.waiting -= collapsed;
            ledger.collapsed += collapsed;
        });
        (made, collapsed)
    }

    /// Makes a wake-up, or prolongs the waiting one of the same key. Returns whether it made one.
    pub(super) fn make_wakeup(
        &mut self,
        (notification, window_end, shape): (Option<NotificationId>, Timestamp, &Shape),
        set: CredentialSet,
        target: Target,
        sort_key: i64,
    ) -> bool {
        let (kind, dry_run) = (&shape.message_type, shape.dry_run);
        let key = match &target {
            Target::Subscription(id) => WakeupKey::for_subscription(*id, kind, dry_run),
            Target::Token { token, topic } => {
                let key = TokenKey::unkeyed(set.provider(), token);
                WakeupKey::for_token(key, topic.as_ref(), kind, dry_run)
            }
        };
        let expires_at = window_end.plus(shape.ttl);
        if let Some(waiting) = self.waiting_with(key).and_then(|id| self.wakeups.get_mut(&id)) {
            waiting.expires_at = waiting.expires_at.max(expires_at);
            if matches!(target, Target::Token { .. }) {
                // A browser's keys may be newer.
                waiting.target = target;
            }
            if waiting.set != set {
                // The device was registered with other credentials since: what it waited for is not theirs.
                waiting.set = set;
                waiting.due_at = window_end;
            }
            return false;
        }
        self.next_id += 1;
        let wakeup = Row {
            key,
            set,
            target,
            message_type: kind.clone(),
            dry_run,
            nonce: None,
            notification,
            window_end,
            expires_at,
            due_at: window_end,
            sort_key,
            attempts: 0,
            lease: None,
            held: None,
        };
        self.wakeups.insert(self.next_id, wakeup);
        true
    }

    /// The token and device of a wake-up now; nothing where its subscription is gone.
    pub(super) fn address(&self, row: &Row) -> Option<(Token, Option<Topic>, Option<Device>)> {
        match &row.target {
            Target::Token { token, topic } => Some((token.clone(), topic.clone(), None)),
            Target::Subscription(id) => self.subscriptions.get(id).map(|each| {
                let device = Device { subscription: *id, generation: each.generation };
                (each.token.clone(), each.topic.clone(), Some(device))
            }),
        }
    }
}

#[async_trait]
impl Outbox for MemoryStore {
    async fn accept(&self, acceptance: Acceptance) -> Result<Accepted, AcceptError> {
        let mut state = self.lock();
        if let Some(idempotency) = acceptance.idempotency
            && let Some(known) = state.idempotency.get(&idempotency.key)
        {
            return if known.body == idempotency.body {
                Ok(Accepted::Repeated { ids: known.ids.clone() })
            } else {
                Err(AcceptError::KeyReused)
            };
        }
        if let Some(closed_until) = state.closed_until
            && acceptance.window_end <= closed_until
        {
            return Err(AcceptError::WindowClosed {
                closed_until,
                acceptance: Box::new(acceptance),
            });
        }
        let scheduled: u64 = state.scheduled.values().map(|each| each.meant.len()).sum();
        if state.ledger.waiting + scheduled >= acceptance.waiting_max {
            return Err(AcceptError::Full);
        }
        let (mut ids, mut wakeups, mut muted) = (Vec::new(), 0, 0);
        let times = (acceptance.now, acceptance.window_end);
        for item in acceptance.items {
            match item {
                Item::Tokens(message) if state.is_in_cohorts(&message.set) => {
                    wakeups += state.accept_silent_tokens(message, times);
                }
                Item::Tokens(message) => wakeups += state.accept_tokens(message, times.1),
                Item::Notification(notification) => {
                    ids.push(notification.id);
                    let (woken, unwanted) = state.accept_notification(notification, times);
                    wakeups += woken;
                    muted += unwanted;
                }
            }
        }
        if let Some(idempotency) = acceptance.idempotency {
            let remembered =
                Remembered { body: idempotency.body, ids: ids.clone(), at: acceptance.now };
            state.idempotency.insert(idempotency.key, remembered);
        }
        Ok(Accepted::New { ids, wakeups, muted })
    }

    async fn close(&self, until: Timestamp) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.closed_until = state.closed_until.max(Some(until));
        Ok(())
    }

    async fn expand(&self, until: Timestamp, shuffle: Shuffle) -> Result<Expanded, StoreError> {
        let mut state = self.lock();
        let due: Option<NotificationId> =
            state.scheduled.iter().find(|(_, each)| each.due < until).map(|(id, _)| *id);
        if let Some(id) = due
            && let Some(scheduled) = state.scheduled.remove(&id)
        {
            state.gather_subscriptions(id, scheduled, (until, until));
            return Ok(Expanded::default());
        }
        if let Some((wakeups, collapsed)) = state.wake_cohort(until, shuffle) {
            return Ok(Expanded { wakeups, collapsed, ..Expanded::default() });
        }
        let Some(index) = state.gathered.iter().position(|row| row.window_end <= until) else {
            let released = state.expanded_until < Some(until);
            state.expanded_until = state.expanded_until.max(Some(until));
            return Ok(Expanded { released, done: true, ..Expanded::default() });
        };
        let Some(row) = state.gathered.remove(index) else { return Ok(Expanded::default()) };
        let (wakeups, collapsed) = state.expand_row(&row, &mut shuffle.keys());
        Ok(Expanded { wakeups, collapsed, ..Expanded::default() })
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, StoreError> {
        let mut state = self.lock();
        let due_max = match (state.closed_until, state.expanded_until) {
            (closed, expanded) if expanded >= closed => claim.now,
            (_, Some(expanded)) => expanded.min(claim.now),
            (_, None) => return Ok(Vec::new()),
        };
        let mut due: Vec<(Timestamp, i64, i64)> = state
            .wakeups
            .iter()
            .filter(|(_, row)| row.set == claim.set && row.due_at <= due_max)
            .map(|(id, row)| (row.due_at, row.sort_key, *id))
            .collect();
        due.sort_unstable();
        due.truncate(claim.limit);
        // Leases that ran out first: where a newer one waits they join that instead of being sent beside it.
        due.retain(|(due_at, _, id)| {
            let ran_out = state.wakeups.get(id).is_some_and(|row| row.lease.is_some());
            !(ran_out && state.return_to_waiting(*id, *due_at))
        });
        let mut claimed = Vec::new();
        for (_, _, id) in due {
            let Some(row) = state.wakeups.get(&id).cloned() else { continue };
            if row.expires_at <= claim.now {
                state.expire(id);
                continue;
            }
            let Some((token, topic, device)) = state.address(&row) else {
                state.end(id, Settled::Cancelled);
                continue;
            };
            // A push that asks for a proof is no try of whoever else has the token.
            let held_until = match row.nonce {
                Some(_) => None,
                None => state.try_held(claim.set.provider(), &token, (claim.now, claim.hold)),
            };
            if let Some(row) = state.wakeups.get_mut(&id) {
                if let Some((key, until)) = held_until {
                    (row.held, row.due_at) = (Some(key), until);
                    continue;
                }
                (row.lease, row.held) = (Some(claim.lease), None);
                row.due_at = claim.lease_until;
            }
            claimed.push(Claimed {
                id: reveille_model::WakeupId(id),
                lease: claim.lease,
                token,
                topic,
                message_type: row.message_type,
                dry_run: row.dry_run,
                nonce: row.nonce,
                attempts: row.attempts,
                window_end: row.window_end,
                expires_at: row.expires_at,
                sort_key: row.sort_key,
                device,
            });
        }
        Ok(claimed)
    }

    async fn settle(&self, batch: SettleBatch) -> Result<SettleReport, StoreError> {
        Ok(self.lock().settle(&batch))
    }

    async fn next_due(&self, set: &CredentialSet) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.lock().wakeups.values().filter(|row| row.set == *set).map(|row| row.due_at).min())
    }

    async fn pause(&self, set: &CredentialSet, until: Timestamp) -> Result<(), StoreError> {
        self.lock().pauses.insert(set.clone(), until);
        Ok(())
    }

    async fn adopt(
        &self,
        from: &CredentialSet,
        topic: &Topic,
        to: &CredentialSet,
    ) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let mut adopted = 0;
        for gathered in &mut state.gathered {
            if let Targets::Tokens { set, topic: Some(of), tokens } = &mut gathered.targets
                && set == from
                && of == topic
            {
                *set = to.clone();
                adopted += tokens.len() as u64;
            }
        }
        for row in state.wakeups.values_mut() {
            if let Target::Token { topic: Some(of), .. } = &row.target
                && row.set == *from
                && of == topic
            {
                row.set = to.clone();
                adopted += 1;
            }
        }
        Ok(adopted)
    }

    async fn paused_until(&self, set: &CredentialSet) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.lock().pauses.get(set).copied())
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        let mut state = self.lock();
        let expired: Vec<i64> = state
            .wakeups
            .iter()
            .filter(|(_, row)| row.expires_at <= sweep.now)
            .filter(|(_, row)| row.lease.is_none() || row.due_at <= sweep.now)
            .map(|(id, _)| *id)
            .take(sweep.limit)
            .collect();
        for id in &expired {
            state.expire(*id);
        }
        let before = state.counters.len();
        state.counters.retain(|_, (ends_at, _)| *ends_at > sweep.now);
        let counters = (before - state.counters.len()) as u64;
        let unproven_before = sweep.now.minus(Duration::from_s(PROOF_RETENTION_S));
        state.unproven.retain(|_, each| each.asked_at >= unproven_before);
        let mut inbox_items = 0;
        for items in state.inbox.values_mut() {
            let before = items.len();
            items.retain(|item| item.at >= sweep.inbox_before);
            inbox_items += (before - items.len()) as u64;
        }
        let mut swept =
            Swept { expired: expired.len() as u64, counters, inbox_items, ..Swept::default() };
        let old: Vec<NotificationId> = state
            .trails
            .iter()
            .filter(|(id, trail)| {
                trail.last_window < sweep.trails_before && !state.scheduled.contains_key(id)
            })
            .map(|(id, _)| *id)
            .take(sweep.limit)
            .collect();
        swept.trails = old.len() as u64;
        for id in old {
            state.trails.remove(&id);
        }
        let old: Vec<[u8; 32]> = state
            .idempotency
            .iter()
            .filter(|(_, each)| each.at < sweep.idempotency_before)
            .map(|(key, _)| *key)
            .take(sweep.limit)
            .collect();
        swept.idempotency_keys = old.len() as u64;
        for key in old {
            state.idempotency.remove(&key);
        }
        let old: Vec<TokenKey> = state
            .suspects
            .iter()
            .filter(|(_, each)| each.subscription.is_none() || each.next_try.is_none())
            .filter(|(_, each)| each.next_try.unwrap_or(each.since) < sweep.suspects_before)
            .map(|(key, _)| *key)
            .take(sweep.limit)
            .collect();
        swept.suspects = old.len() as u64;
        for key in old {
            state.release_one(key, sweep.now);
        }
        Ok(swept)
    }

    async fn depth(&self) -> Result<Depth, StoreError> {
        let state = self.lock();
        let gathered = state.gathered.iter().map(|row| row.window_end);
        let waiting = state.wakeups.values().map(|row| row.window_end);
        Ok(Depth {
            ledger: state.ledger,
            scheduled: state.scheduled.len() as u64,
            oldest_window_end: gathered.chain(waiting).min(),
        })
    }

    async fn check(&self, _now: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
}
