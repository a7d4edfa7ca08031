//! Naming the device of an account, event by event.
//!
//! A device fits an event at t where a push of it comes in (t, t + max delay]. That is as likely as certain if the account is its, and chance
//! otherwise: the evidence is one over the share of all moments at which a push of it follows. A device that does not fit is given a
//! thousandth, since records get lost. A push that has answered an earlier event of the account already proves nothing twice.

use super::accounts::Account;
use super::trace::Trace;
use crate::posterior::{Prior, Tally, Verdict, verdict};

/// What an observer of the log works with.
#[derive(Debug)]
pub(super) struct Scorer<'a> {
    pub(super) trace: &'a Trace,
    pub(super) log_chances: Vec<f64>,
    pub(super) prior: Prior,
    pub(super) max_delay: i64,
}

/// The state of a thread.
#[derive(Debug)]
pub(super) struct Desk {
    tally: Tally,
    /// For each device the last push that was counted.
    counted: Vec<Counted>,
}

/// A push that was counted: for which account's which event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counted {
    account: usize,
    event: usize,
    push: usize,
}

impl Desk {
    pub(super) fn new(devices: usize) -> Self {
        Self { tally: Tally::new(devices), counted: vec![Counted::default(); devices] }
    }
}

impl Scorer<'_> {
    /// What is believed after each of these numbers of events, the fewest first; as many as the account has events for. Accounts are
    /// numbered from one.
    pub(super) fn account(
        &self,
        number: usize,
        account: &Account,
        events: &[usize],
        desk: &mut Desk,
    ) -> Vec<Verdict> {
        desk.tally.clear();
        let (mut verdicts, mut seen) = (Vec::with_capacity(events.len()), 0);
        for count in events.iter().filter(|count| **count <= account.events.len()) {
            while seen < *count {
                if let Some(at) = account.events.get(seen) {
                    self.event(number, seen, *at, desk);
                }
                seen += 1;
            }
            verdicts.push(verdict(&self.prior, &desk.tally, &account.devices));
        }
        verdicts
    }

    fn event(&self, account: usize, event: usize, at: i64, desk: &mut Desk) {
        let start = self.trace.after(at);
        let pushes = self.trace.pushes.iter().enumerate().skip(start);
        for (push, (_, device)) in pushes.take_while(|(_, push)| push.0 <= at + self.max_delay) {
            let Some(counted) = desk.counted.get_mut(*device) else { continue };
            if counted.account == account && counted.event == event {
                continue;
            }
            let is_known = counted.account == account && counted.push == push;
            let log_chance = self.log_chances.get(*device).copied().unwrap_or_default();
            desk.tally.add(*device, if is_known { 0.0 } else { -log_chance });
            *counted = Counted { account, event, push };
        }
    }
}
