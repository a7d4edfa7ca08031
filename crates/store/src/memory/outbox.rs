//! The outbox in memory.

use async_trait::async_trait;
use reveille_model::limits::PROOF_RETENTION_S;
use reveille_model::{
    CredentialSet, Duration, Mixed, NotificationId, Providers, Settled, Shuffle, Spread,
    SubscriptionId, Timestamp, Token, Topic, User,
};

use super::MemoryStore;
use super::state::{Gathered, Remembered, Row, Shape, State, Target, Targets};
use crate::{
    AcceptError, Acceptance, Accepted, Claim, Claimed, Depth, Device, Expanded, Halt, Item, Next,
    Outbox, Seen, SettleBatch, SettleReport, StoreError, Sweep, Swept, TokenKey, WakeupKey,
};

/// What becomes of a gathered target.
enum Meaning {
    Wake(CredentialSet, Target),
    /// It has been sealed since: it is woken with the others that are.
    NextBeat,
    /// It is woken with its user's cohort since.
    Cohort(User),
    /// It is gone, or its user has looked.
    Gone,
}

impl State {
    /// What becomes of a registered device that a gathered row names.
    fn device_of(&self, row: &Gathered, id: SubscriptionId) -> Meaning {
        let Some(known) = self.subscriptions.get(&id) else { return Meaning::Gone };
        let is_company =
            row.notification.is_none() && matches!(row.targets, Targets::Subscriptions(_));
        if !is_company {
            match self.mixed(known) {
                Mixed::Sealed => return Meaning::NextBeat,
                Mixed::Cohort => return Meaning::Cohort(known.user.clone()),
                Mixed::Batch => {}
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
                Meaning::Cohort(user) => {
                    collapsed += 1;
                    let cohorts = self.cohorts_for(&user);
                    let joins = (&Spread::default(), row.window_end);
                    self.wake_cohorts((&cohorts, row.shape.dry_run), joins);
                }
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
                Item::Tokens(mut message) => {
                    if state.are_cohorts_on() {
                        let (alone, marked) = state.accept_company_tokens(&message, times);
                        message.tokens = alone;
                        wakeups += marked;
                    }
                    wakeups += state.accept_tokens(message, times.1);
                }
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
            state.of_cohorts.mustered_until = None;
            return Ok(Expanded::default());
        }
        if state.sizes().is_some() && state.of_cohorts.mustered_until < Some(until) {
            return Ok(Expanded { next: Next::Muster, ..Expanded::default() });
        }
        if let Some((wakeups, collapsed)) = state.wake_cohort(until, shuffle) {
            return Ok(Expanded { wakeups, collapsed, ..Expanded::default() });
        }
        let Some(index) = state.gathered.iter().position(|row| row.window_end <= until) else {
            let released = state.expanded_until < Some(until);
            state.expanded_until = state.expanded_until.max(Some(until));
            return Ok(Expanded { released, next: Next::Nothing, ..Expanded::default() });
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

    async fn halt(&self, change: Halt) -> Result<Providers, StoreError> {
        let mut state = self.lock();
        state.halted = change.after(state.halted);
        Ok(state.halted)
    }

    async fn halted(&self) -> Result<Providers, StoreError> {
        Ok(self.lock().halted)
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
        state.counters.retain(|_, (ends_at, _)| *ends_at > sweep.counters_before);
        let counters = (before - state.counters.len()) as u64;
        let unproven_before = sweep.now.minus(Duration::from_s(PROOF_RETENTION_S));
        state.unproven.retain(|_, each| each.asked_at >= unproven_before);
        let mut inbox_items = 0;
        for seen in state.seen.values_mut() {
            let kept = |at: &Timestamp| *at >= sweep.inbox_before;
            *seen = Seen { alerts: seen.alerts.filter(kept), messages: seen.messages.filter(kept) };
        }
        state.seen.retain(|_, seen| *seen != Seen::default());
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
