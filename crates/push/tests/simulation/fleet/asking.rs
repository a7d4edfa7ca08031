//! What nodes ask of the store, and what has to hold each time something is carried out.

use reveille_model::{Audience, Duration, User};
use reveille_store::{
    AcceptError, Acceptance, Accepted, Claimed, Expanded, Item, Outbox as _, SettleReport,
    Settlement, Subscriptions as _,
};

use super::network::{Fate, Question};
use super::world::{LIMIT, Promise, SKEW, World, device};
use crate::scenery::done;

/// Nothing is carried out so long after it was asked: the database takes back what nobody goes on with.
const LATE_MAX: Duration = Duration::from_s(10);

/// What the store answered.
pub(super) enum Answer {
    Accepted(Result<Accepted, AcceptError>),
    Closed,
    Expanded(Expanded),
    Claimed(Vec<Claimed>),
    Settled(SettleReport),
}

impl World {
    /// Asks the store. Nothing where no answer comes.
    pub(super) fn ask(&mut self, question: Question) -> Result<Option<Answer>, String> {
        let fate = if self.is_stormy { Fate::draw(&mut self.rng) } else { Fate::Answered };
        match fate {
            Fate::Answered => self.carry_out(question).map(Some),
            Fate::Lost => Ok(None),
            Fate::Unanswered => self.carry_out(question).map(|_| None),
            Fate::Twice => {
                self.carry_out(question.clone())?;
                self.carry_out(question).map(Some)
            }
            Fate::Late => {
                self.late.push((self.now, question));
                Ok(None)
            }
        }
    }

    /// Something is carried out that nobody waits for any more.
    pub(super) fn be_late(&mut self) -> Result<(), String> {
        if self.late.is_empty() {
            return Ok(());
        }
        let index = usize::try_from(self.rng.below(self.late.len() as u64)).unwrap();
        let (asked_at, question) = self.late.swap_remove(index);
        // By then its connection is gone.
        if self.now.since(asked_at) > LATE_MAX {
            return Ok(());
        }
        self.carry_out(question).map(drop)
    }

    fn carry_out(&mut self, question: Question) -> Result<Answer, String> {
        Ok(match question {
            Question::Accept(acceptance) => {
                let accepted = done(self.store.accept(acceptance.clone()));
                self.note_accepted(&acceptance, accepted.as_ref().ok())?;
                Answer::Accepted(accepted)
            }
            Question::Close(until) => {
                done(self.store.close(until)).unwrap();
                Answer::Closed
            }
            Question::Expand(until, shuffle) => {
                let expanded = done(self.store.expand(until, shuffle)).unwrap();
                if expanded.is_done() {
                    self.released = self.released.max(until);
                }
                Answer::Expanded(expanded)
            }
            Question::Claim(claim) => {
                let until = claim.lease_until;
                let claimed = done(self.store.claim(claim)).unwrap();
                for each in &claimed {
                    self.check_claimed(each)?;
                    self.held.insert(each.id, (each.lease, until));
                }
                Answer::Claimed(claimed)
            }
            Question::Settle(batch) => {
                let settlements = batch.settlements.clone();
                let before = done(self.store.depth()).unwrap().ledger;
                let report = done(self.store.settle(batch)).unwrap();
                for Settlement { id, lease, .. } in settlements {
                    let held = self.held.get(&id).is_some_and(|(holder, _)| *holder == lease);
                    if held {
                        self.held.remove(&id);
                    } else if done(self.store.depth()).unwrap().ledger != before {
                        return Err("what was lost was settled".to_owned());
                    }
                }
                Answer::Settled(report)
            }
        })
    }

    fn note_accepted(
        &mut self,
        acceptance: &Acceptance,
        accepted: Option<&Accepted>,
    ) -> Result<(), String> {
        let Some(Accepted::New { wakeups, .. }) = accepted else { return Ok(()) };
        let window_end = acceptance.window_end;
        let key = acceptance.idempotency.map(|each| each.key);
        let request = key.and_then(|key| self.requests.get(&key).copied()).unwrap();
        // What is limited is accepted and settled at once.
        let mut named = *wakeups;
        for item in &acceptance.items {
            match item {
                Item::Tokens(message) => {
                    for token in &message.tokens {
                        let token = token.expose().to_owned();
                        self.promises.push(Promise { token, window_end });
                    }
                }
                Item::Notification(notification) => {
                    let Audience::Users(users) = &notification.audience else { continue };
                    let number = users.first().and_then(|user| user.expose().strip_prefix("user-"));
                    let number: u64 = number.unwrap().parse().unwrap();
                    let user = User::parse(&format!("user-{number}")).unwrap();
                    named = done(self.store.list(&user)).unwrap().len() as u64;
                    if *wakeups > 0 {
                        // What comes from a clock that is behind counts in the period that has begun.
                        let of_user = self.woken.keys().filter(|(of, _)| *of == number);
                        let begun = of_user.map(|(_, period)| *period).max();
                        let period = begun.max(Some(LIMIT.period_end(acceptance.now)));
                        let Some(period) = period else { continue };
                        *self.woken.entry((number, period)).or_default() += 1;
                        self.promises.push(Promise { token: device(number), window_end });
                    }
                }
            }
        }
        match self.accepted.insert(request, named) {
            Some(_) => Err("a request was accepted twice".to_owned()),
            None => Ok(()),
        }
    }

    fn check_claimed(&self, claimed: &Claimed) -> Result<(), String> {
        let token = claimed.token.expose();
        if self.now.plus(SKEW) < claimed.window_end {
            return Err(format!("{token} left before its window ended"));
        }
        if claimed.window_end > self.released {
            return Err(format!("{token} left before all of its window was expanded"));
        }
        // Two clocks may be twice as far apart as each is off.
        let far = self.now.plus(SKEW).plus(SKEW);
        if self.held.get(&claimed.id).is_some_and(|(_, until)| far < *until) {
            return Err(format!("{token} is held by two at once"));
        }
        if claimed.device.is_some() && self.dead.contains(token) {
            return Err(format!("{token} was sent to after it was called dead"));
        }
        Ok(())
    }
}
