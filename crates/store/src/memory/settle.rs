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
        if let Some((strike, reason)) = settlement.strike
            && self.strike(settlement, (strike, reason), now)
        {
            end = End::Suspected(Suspicion { reason, is_trusted: false });
        }
        match end {
            End::Settled(how) => {
                if how == Settled::Sent {
                    self.clear_suspicion(id);
                }
                self.end(id, how);
            }
            End::Dead(proof, reason) => {
                self.settle_dead(settlement, (proof, reason), batch, report);
            }
            End::Suspected(suspicion) => self.suspect(settlement, suspicion, batch, report),
            End::Retry(due_at) | End::Postpone(due_at) => {
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
        let known = settlement.device.and_then(|device| {
            self.subscriptions.get(&device.subscription).map(|known| (device, known))
        });
        let is_renewed = known.is_some_and(|(device, known)| {
            let too_old = matches!(proof, Proof::Dated(date) if date < known.refreshed_at);
            known.generation != device.generation || too_old
        });
        if is_renewed {
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
        report.to_tell += (self.deaths.len() - before) as u64;
    }

    fn suspect(
        &mut self,
        settlement: &Settlement,
        suspicion: Suspicion,
        batch: &SettleBatch,
        report: &mut SettleReport,
    ) {
        let (id, now) = (settlement.id.0, batch.now);
        if self.is_renewed(settlement.device) {
            report.renewed += 1;
            report.collapsed += u64::from(self.return_to_waiting(id, now));
            return;
        }
        let Some(fresh) = self.suspect_of(id, now) else {
            // Its subscription is gone; the next claim says so.
            report.collapsed += u64::from(self.return_to_waiting(id, now));
            return;
        };
        let key = TokenKey::new(fresh.set.provider(), &fresh.token);
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
        let key = TokenKey::new(fresh.set.provider(), &fresh.token);
        if self.is_renewed(settlement.device) || !self.has_room(key) {
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

    fn is_renewed(&self, device: Option<Device>) -> bool {
        device.is_some_and(|device| {
            let known = self.subscriptions.get(&device.subscription);
            known.is_some_and(|known| known.generation != device.generation)
        })
    }

    /// What is known of a wake-up's device, as the beginning of a suspicion. Nothing where its subscription is gone.
    fn suspect_of(&self, id: i64, now: Timestamp) -> Option<Suspect> {
        let row = self.wakeups.get(&id)?;
        let (token, topic, _) = self.address(row)?;
        let subscription = match row.target {
            Target::Subscription(subscription) => Some(subscription),
            Target::Token { .. } => None,
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

    /// A push was taken: its device lives.
    fn clear_suspicion(&mut self, id: i64) {
        let Some((token, _, device)) = self.wakeups.get(&id).and_then(|row| self.address(row))
        else {
            return;
        };
        let provider = self.wakeups.get(&id).map(|row| row.set.provider());
        if let Some(known) = device.and_then(|each| self.subscriptions.get_mut(&each.subscription))
        {
            known.suspect_since = None;
        }
        if let Some(provider) = provider {
            let key = TokenKey::new(provider, &token);
            self.suspects.remove(&key);
            self.take_back_deaths(key);
        }
    }
}
