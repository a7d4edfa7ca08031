//! Settling in memory: how wake-ups end, and what that means for a device.

use reveille_model::{Proof, Reason, Settled, Strike, Timestamp};

use super::state::{State, Suspect, Target};
use crate::{Device, End, SettleBatch, SettleReport, Settlement, Suspicion, TokenKey};

impl State {
    pub(super) fn settle(&mut self, batch: &SettleBatch) -> SettleReport {
        let mut report = SettleReport::default();
        for settlement in &batch.settlements {
            self.settle_one(settlement, batch, &mut report);
        }
        report
    }

    fn settle_one(
        &mut self,
        settlement: &Settlement,
        batch: &SettleBatch,
        report: &mut SettleReport,
    ) {
        let (id, now) = (settlement.id.0, batch.now);
        match self.wakeups.get_mut(&id) {
            Some(row) if row.lease == Some(settlement.lease) => {
                if matches!(settlement.end, End::Retry(_) | End::Suspected(_)) {
                    row.attempts += 1;
                }
            }
            _ => {
                report.lost += 1;
                return;
            }
        }
        let mut end = settlement.end;
        if let Some((strike, suspicion)) = settlement.strike
            && self.strike(settlement, (strike, suspicion.reason), now)
        {
            end = End::Suspected(suspicion);
        }
        match end {
            End::Settled(how) => {
                if how == Settled::Sent {
                    self.clear_suspicion(id, now);
                }
                self.end(id, how);
            }
            End::Dead(proof, reason) => {
                self.settle_dead(settlement, (proof, reason), batch, report);
            }
            End::Suspected(suspicion) => self.suspect(settlement, suspicion, batch, report),
            End::Retry(due_at) | End::Postpone(due_at) => {
                self.was_no_try(id, due_at);
                report.collapsed += u64::from(self.return_to_waiting(id, due_at));
            }
        }
    }

    fn settle_dead(
        &mut self,
        settlement: &Settlement,
        (proof, reason): (Proof, Reason),
        batch: &SettleBatch,
        report: &mut SettleReport,
    ) {
        let id = settlement.id.0;
        let known = self
            .suspect_of(id, batch.now)
            .and_then(|suspect| self.subscriptions.get(&suspect.subscription?));
        let is_its_own =
            known.zip(settlement.device).is_some_and(|(it, device)| it.id == device.subscription);
        if is_its_own && self.is_renewed(id, settlement.device) {
            // Its app came back while the push was under way: the verdict is about the registration before.
            report.renewed += 1;
            self.follow_device(id);
            report.collapsed += u64::from(self.return_to_waiting(id, batch.now));
            return;
        }
        // Nobody has registered what only came with messages.
        let is_too_old = known.is_some_and(|known| {
            let is_before = matches!(proof, Proof::Dated(date) if date < known.refreshed_at);
            is_before && !known.user.is_unnamed()
        });
        if is_too_old {
            report.renewed += 1;
        } else if proof != Proof::Guarded {
            self.drop_device(id, reason.0, batch, report);
        }
        self.end(id, Settled::Dead);
    }

    /// The device of a wake-up is dead: its subscription goes, and it is told.
    fn drop_device(
        &mut self,
        id: i64,
        reason: &str,
        batch: &SettleBatch,
        report: &mut SettleReport,
    ) {
        let Some(mut suspect) = self.suspect_of(id, batch.now) else { return };
        reason.clone_into(&mut suspect.reason);
        let before = self.deaths.len();
        report.dropped += u64::from(self.bury(&suspect, &batch.tell, batch.now));
        let to_tell = self.deaths.len() - before;
        report.to_tell += to_tell as u64;
        report.not_told += (batch.tell.len() - to_tell) as u64;
    }

    fn suspect(
        &mut self,
        settlement: &Settlement,
        suspicion: Suspicion,
        batch: &SettleBatch,
        report: &mut SettleReport,
    ) {
        let (id, now) = (settlement.id.0, batch.now);
        if self.is_renewed(id, settlement.device) {
            report.renewed += 1;
            self.follow_device(id);
            report.collapsed += u64::from(self.return_to_waiting(id, now));
            return;
        }
        let Some(fresh) = self.suspect_of(id, now) else {
            // Its subscription is gone; the next claim says so.
            report.collapsed += u64::from(self.return_to_waiting(id, now));
            return;
        };
        let key = TokenKey::unkeyed(fresh.set.provider(), &fresh.token);
        let held_since =
            self.suspects.get(&key).filter(|each| each.next_try.is_some()).map(|each| each.since);
        if suspicion.is_trusted && held_since.is_some_and(|since| since.plus(batch.hold) <= now) {
            self.drop_device(id, suspicion.reason.0, batch, report);
            self.end(id, Settled::Dead);
            return;
        }
        let next_try = now.plus(batch.hold);
        if self.has_room(key) {
            report.suspected += u64::from(held_since.is_none());
            if let Some(known) =
                settlement.device.and_then(|each| self.subscriptions.get_mut(&each.subscription))
            {
                known.suspect_since = known.suspect_since.or(Some(now));
            }
            let row = self.suspects.entry(key).or_insert(fresh);
            if held_since.is_none() {
                // What it was only watched for does not count as a verdict.
                (row.since, row.verdicts) = (now, 0);
            }
            suspicion.reason.0.clone_into(&mut row.reason);
            row.verdicts += 1;
            row.next_try = Some(next_try);
        }
        if let Some(row) = self.wakeups.get_mut(&id) {
            row.held = Some(key);
        }
        report.collapsed += u64::from(self.return_to_waiting(id, next_try));
    }

    /// Notes a strike. Returns whether it is one too many.
    fn strike(
        &mut self,
        settlement: &Settlement,
        (strike, reason): (Strike, Reason),
        now: Timestamp,
    ) -> bool {
        let Some(fresh) = self.suspect_of(settlement.id.0, now) else { return false };
        let key = TokenKey::unkeyed(fresh.set.provider(), &fresh.token);
        if self.is_renewed(settlement.id.0, settlement.device) || !self.has_room(key) {
            return false;
        }
        let row = self.suspects.entry(key).or_insert(fresh);
        if row.next_try.is_some() {
            return true;
        }
        if row.reason != reason.0 {
            reason.0.clone_into(&mut row.reason);
            (row.since, row.verdicts) = (now, 0);
        }
        row.verdicts += 1;
        row.verdicts >= strike.count_min && row.since.plus(strike.age_min) <= now
    }

    /// Whether a device was registered anew since the push left, or before that with other credentials than it left with.
    fn is_renewed(&self, id: i64, device: Option<Device>) -> bool {
        let known = device.and_then(|it| Some((it, self.subscriptions.get(&it.subscription)?)));
        known.is_some_and(|(device, known)| {
            let is_elsewhere = self.wakeups.get(&id).is_some_and(|row| row.set != known.set);
            known.generation != device.generation || is_elsewhere
        })
    }

    /// A wake-up goes on with the credentials that its device is registered with now.
    fn follow_device(&mut self, id: i64) {
        let Some(row) = self.wakeups.get_mut(&id) else { return };
        if let Target::Subscription(device) = row.target
            && let Some(known) = self.subscriptions.get(&device)
        {
            row.set = known.set.clone();
        }
    }

    /// What is known of a wake-up's device, as the beginning of a suspicion. Nothing where its subscription is gone.
    fn suspect_of(&self, id: i64, now: Timestamp) -> Option<Suspect> {
        let row = self.wakeups.get(&id)?;
        let (token, topic, _) = self.address(row)?;
        let subscription = match row.target {
            Target::Subscription(subscription) => Some(subscription),
            // It may have been registered since.
            Target::Token { .. } => {
                self.by_token.get(&TokenKey::unkeyed(row.set.provider(), &token)).copied()
            }
        };
        Some(Suspect {
            set: row.set.clone(),
            topic,
            token,
            subscription,
            reason: String::new(),
            since: now,
            verdicts: 0,
            next_try: None,
        })
    }

    /// A push was taken: its device lives, and what else waits for it is due.
    fn clear_suspicion(&mut self, id: i64, now: Timestamp) {
        if let Some(key) = self.token_key_of(id) {
            self.release_one(key, now);
            self.take_back_deaths(key);
        }
    }

    /// A try came to nothing, so that it was none: the device may be tried again when this wake-up is due.
    pub(super) fn was_no_try(&mut self, id: i64, due_at: Timestamp) {
        if let Some(suspect) = self.token_key_of(id).and_then(|key| self.suspects.get_mut(&key))
            && let Some(next_try) = suspect.next_try.as_mut()
        {
            *next_try = due_at.min(*next_try);
        }
    }

    fn token_key_of(&self, id: i64) -> Option<TokenKey> {
        let row = self.wakeups.get(&id)?;
        let (token, ..) = self.address(row)?;
        Some(TokenKey::unkeyed(row.set.provider(), &token))
    }
}
