//! Taking responsibility, in memory: who is meant, and what joins a window.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::limits::{SUBSCRIPTIONS_PER_USER_MAX, TARGETS_PER_ROW_MAX};
use reveille_model::{
    Audience, CohortId, DryRun, EventType, Mixed, NewSubscription, Notification, NotificationId,
    Policy, Settled, Spread, Subscription, SubscriptionId, Timestamp, Token, User,
};

use sha2::{Digest as _, Sha256};

use super::state::{Meant, Scheduled, Shape, State, Targets, TrailRow};
use crate::subscriptions::first_16;
use crate::{TokenKey, TokenMessage};

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
    /// Sealed devices. They are woken on their beat, unless they are sealed no longer by then.
    sealed: Vec<SubscriptionId>,
    /// Wake-ups that a limit keeps back: a user's cohorts are one.
    limited: u64,
    /// Users who do not want it.
    muted: u64,
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
            let sealed = ids.iter().filter(|id| {
                self.subscriptions.get(id).is_some_and(|each| self.mixed(each) == Mixed::Sealed)
            });
            answered.sealed.extend(sealed);
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
    pub(super) fn gather_subscriptions(
        &mut self,
        id: NotificationId,
        Scheduled { due, shape, meant, event_type, policy, content, spread }: Scheduled,
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
            Meant::Found { cohorts, devices, since } => {
                let cohorts = self.with_successors(cohorts, since);
                Answered { cohorts, devices, ..Answered::default() }
            }
        };
        let Answered { cohorts, devices, limited, muted, .. } = answered;
        let count = devices.len() as u64;
        for (window_end, devices) in spread.of_devices(devices, window_end) {
            for chunk in devices.chunks(TARGETS_PER_ROW_MAX) {
                let targets = Targets::Subscriptions(chunk.to_vec());
                self.gather(window_end, Some(id), shape.clone(), targets);
            }
        }
        let marked = self.wake_cohorts((&cohorts, shape.dry_run), (&spread, window_end));
        if let Some(trail) = self.trails.get_mut(&id) {
            trail.window_end = Some(spread.last(window_end));
            trail.last_window = spread.last(window_end);
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
    pub(super) fn wake_cohorts(
        &mut self,
        (cohorts, dry_run): (&BTreeSet<CohortId>, DryRun),
        (spread, window_end): (&Spread, Timestamp),
    ) -> u64 {
        if dry_run == DryRun::No {
            return self.mark_all(cohorts, (spread, window_end));
        }
        let count = cohorts.len() as u64;
        self.ledger.accepted += count;
        self.ledger.settle(Settled::DryRun, count);
        count
    }

    pub(super) fn accept_tokens(&mut self, message: TokenMessage, window_end: Timestamp) -> u64 {
        let (usable, unusable) = (message.tokens.len() as u64, u64::from(message.unusable));
        self.count(None, |ledger| {
            ledger.accepted += usable + unusable;
            ledger.waiting += usable;
            ledger.settle(Settled::PayloadError, unusable);
        });
        let TokenMessage { set, topic, message_type, ttl, dry_run, tokens, .. } = message;
        let shape = Shape { message_type, ttl, dry_run };
        if !tokens.is_empty() {
            self.gather(window_end, None, shape, Targets::Tokens { set, topic, tokens });
        }
        usable
    }

    /// Finds out whose tokens these are, so that their users are woken as a whole. Those nobody has registered belong to one who has no name;
    /// those whose devices are in no cohort are returned.
    pub(super) fn accept_company_tokens(
        &mut self,
        message: &TokenMessage,
        (now, window_end): (Timestamp, Timestamp),
    ) -> (Vec<Token>, u64) {
        let is_dry = message.dry_run == DryRun::Yes;
        let (mut users, mut fresh, mut alone) = (BTreeSet::new(), Vec::new(), Vec::new());
        for token in &message.tokens {
            let key = TokenKey::unkeyed(message.set.provider(), token);
            match self.by_token.get(&key).and_then(|id| self.subscriptions.get(id)) {
                Some(known) if self.mixed(known) == Mixed::Cohort => {
                    users.insert(known.user.clone());
                }
                None if self.is_silent(&message.set) => fresh.push(token.clone()),
                _ => alone.push(token.clone()),
            }
        }
        if is_dry {
            // Whoever only asks registers nobody.
            let count = fresh.len() as u64;
            self.ledger.accepted += count;
            self.ledger.settle(Settled::DryRun, count);
            fresh.clear();
        }
        self.register_unnamed(message, (&fresh, &mut users), now);
        let cohorts: BTreeSet<CohortId> =
            users.iter().flat_map(|user| self.cohorts_for(user)).collect();
        let marked =
            self.wake_cohorts((&cohorts, message.dry_run), (&Spread::default(), window_end));
        (alone, marked)
    }

    /// Tokens that came together, or with those of one who has no name, are one's.
    fn register_unnamed(
        &mut self,
        message: &TokenMessage,
        (fresh, users): (&[Token], &mut BTreeSet<User>),
        now: Timestamp,
    ) {
        let room = |only: &User| {
            let known = self.subscriptions.values().filter(|each| each.user == *only).count();
            only.is_unnamed() && known + fresh.len() <= SUBSCRIPTIONS_PER_USER_MAX
        };
        let joined = users.first().filter(|only| users.len() == 1 && room(only)).cloned();
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
    }

    fn unnamed(tokens: &[Token]) -> User {
        let first = tokens.first().map(Token::expose).unwrap_or_default();
        User::unnamed(first_16(&Sha256::digest(first)))
    }

    pub(super) fn accept_notification(
        &mut self,
        notification: Notification,
        (now, window_end): (Timestamp, Timestamp),
    ) -> (u64, u64) {
        let Notification { id, event_type, message_type, audience, ttl, dry_run, .. } =
            notification;
        let Notification { deliver_after, policy, content, spread, .. } = notification;
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
        let scheduled = Scheduled { due: now, shape, meant, event_type, policy, content, spread };
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
                    let Answered { cohorts, mut devices, sealed, .. } = answered;
                    devices.extend(sealed);
                    scheduled.meant = Meant::Found { cohorts, devices, since: self.closed_until };
                }
                self.scheduled.insert(id, scheduled);
                (0, muted)
            }
            _ => self.gather_subscriptions(id, scheduled, (now, window_end)),
        }
    }
}
