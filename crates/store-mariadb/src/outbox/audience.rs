//! Whom notifications wake: the devices of those who want them and have not had too many. What has to be known for that is asked for all of a group at once.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::limits::SUBSCRIPTIONS_PER_USER_MAX;
use reveille_model::{
    Audience, DryRun, EventType, Limit, Mixed, NotificationId, Policy, SubscriptionId, Timestamp,
    User,
};
use reveille_store::tables::Kind;

use super::limits::Counters;
use crate::codec::{event_type, flag, number, subscription_id, user};
use crate::engine::Tables;
use crate::error::Done;
use crate::rows::{listing, padded};
use crate::statement::query;

/// Most names in one statement.
const NAMES_MAX: usize = 1_024;

/// What is asked before somebody is woken.
#[derive(Debug, Clone)]
pub(super) struct Conditions {
    pub(super) event_type: EventType,
    pub(super) policy: Policy,
    /// When it came, or fell due.
    pub(super) now: Timestamp,
}

/// Whom a notification asks for.
pub(super) struct Asked<'a> {
    pub(super) audience: &'a Audience,
    pub(super) dry_run: DryRun,
    pub(super) conditions: Option<Conditions>,
}

/// Content on its way to inboxes.
#[derive(Debug, Clone)]
pub(crate) struct ToDeliver {
    pub(crate) id: NotificationId,
    pub(crate) event_type: EventType,
    pub(crate) at: Timestamp,
    pub(crate) sealed: Vec<u8>,
}

/// Whom an audience wakes.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) cohorts: BTreeSet<i64>,
    pub(super) devices: BTreeSet<SubscriptionId>,
    /// Sealed devices. They are woken on their beat, unless they are sealed no longer by then.
    pub(super) sealed: BTreeSet<SubscriptionId>,
    /// Wake-ups that a limit keeps back: a user's cohorts are one.
    pub(super) limited: i64,
    /// Users who do not want it.
    pub(super) muted: u64,
}

impl Answered {
    /// What was asked when it was scheduled.
    pub(super) fn found(cohorts: Vec<i64>, devices: Vec<SubscriptionId>) -> Self {
        let (cohorts, devices) = (cohorts.into_iter().collect(), devices.into_iter().collect());
        Self { cohorts, devices, ..Self::default() }
    }
}

#[derive(Debug, Clone, Copy)]
struct Device {
    id: SubscriptionId,
    mixed: Mixed,
}

/// What is known of users.
#[derive(Default)]
pub(super) struct Known {
    devices: BTreeMap<User, Vec<Device>>,
    owners: BTreeMap<SubscriptionId, User>,
    cohorts: BTreeMap<User, Vec<i64>>,
    said: BTreeMap<(User, EventType), bool>,
    counters: Counters,
    deliveries: Vec<(User, ToDeliver)>,
}

impl Known {
    /// Finds out about everybody who is asked for. Their cohorts stay theirs until the transaction is over.
    pub(super) async fn load(tables: &mut Tables<'_>, asked: &[Asked<'_>]) -> Done<Self> {
        let mut known = Self::default();
        if asked.is_empty() {
            return Ok(known);
        }
        let (mut users, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for each in asked {
            match each.audience {
                Audience::Users(named) => users.extend(named.iter().cloned()),
                Audience::Subscriptions(named) => ids.extend(named.iter().copied()),
            }
        }
        known.find_owners(tables, &ids).await?;
        users.extend(known.owners.values().cloned());
        let users: Vec<User> = users.into_iter().collect();
        // First the cohorts: whoever is brought to another one in between is woken there.
        known.cohorts = tables.cohorts_of(&users).await?;
        known.find_devices(tables, &users).await?;
        known.find_said(tables, &users, asked).await?;
        let to_count = asked.iter().flat_map(|each| known.to_count(each)).collect();
        known.counters = Counters::load(tables, to_count).await?;
        Ok(known)
    }

    async fn find_owners(
        &mut self,
        tables: &mut Tables<'_>,
        ids: &BTreeSet<SubscriptionId>,
    ) -> Done<()> {
        let ids: Vec<SubscriptionId> = ids.iter().copied().collect();
        for part in ids.chunks(NAMES_MAX) {
            let part = padded(part.iter().copied());
            let sql = "SELECT id, user_name FROM subscriptions WHERE id IN ({})";
            let mut select = query(listing(sql, "?", part.len()));
            for id in &part {
                select = select.bind(id.as_bytes().as_slice());
            }
            for row in tables.all(select).await? {
                self.owners.insert(subscription_id(&row, 0)?, user(&row, 1)?);
            }
        }
        Ok(())
    }

    async fn find_devices(&mut self, tables: &mut Tables<'_>, users: &[User]) -> Done<()> {
        for part in users.chunks(NAMES_MAX) {
            let part = padded(part.iter());
            let sql = concat!(
                "SELECT user_name, id, set_id, on_beat FROM subscriptions WHERE user_name IN ({})",
                " ORDER BY user_name, created_at, id"
            );
            let mut select = query(listing(sql, "?", part.len()));
            for user in &part {
                select = select.bind(user.expose().as_bytes());
            }
            for row in tables.all(select).await? {
                let kind = Kind { set_id: number(&row, 2)?, is_sealed: flag(&row, 3)? };
                let device = Device { id: subscription_id(&row, 1)?, mixed: tables.mixed(kind) };
                let devices = self.devices.entry(user(&row, 0)?).or_default();
                if devices.len() < SUBSCRIPTIONS_PER_USER_MAX {
                    devices.push(device);
                }
            }
        }
        Ok(())
    }

    /// What users have said about the event types they are asked about.
    async fn find_said(
        &mut self,
        tables: &mut Tables<'_>,
        users: &[User],
        asked: &[Asked<'_>],
    ) -> Done<()> {
        let types = asked.iter().filter_map(|each| each.conditions.as_ref());
        let types: BTreeSet<&EventType> = types.map(|conditions| &conditions.event_type).collect();
        if types.is_empty() {
            return Ok(());
        }
        let types = padded(types);
        for part in users.chunks(NAMES_MAX) {
            let part = padded(part.iter());
            let sql = format!(
                "SELECT user_name, event_type, wakes FROM preferences WHERE user_name IN ({{}}) AND event_type IN ({})",
                vec!["?"; types.len()].join(", ")
            );
            let mut select = query(listing(&sql, "?", part.len()));
            for user in &part {
                select = select.bind(user.expose().as_bytes());
            }
            for event_type in &types {
                select = select.bind(event_type.as_str().as_bytes());
            }
            for row in tables.all(select).await? {
                self.said.insert((user(&row, 0)?, event_type(&row, 1)?), flag(&row, 2)?);
            }
        }
        Ok(())
    }

    /// The users an audience stands for, each with the devices of theirs that are named.
    fn resolve(&self, audience: &Audience) -> Vec<(User, Vec<Device>)> {
        match audience {
            Audience::Users(users) => {
                let mut seen = BTreeSet::new();
                let once = users.iter().filter(|user| seen.insert(*user));
                once.map(|user| (user.clone(), self.devices.get(user).cloned().unwrap_or_default()))
                    .collect()
            }
            Audience::Subscriptions(ids) => {
                let mut found: BTreeMap<User, Vec<Device>> = BTreeMap::new();
                for id in ids {
                    let Some(owner) = self.owners.get(id) else { continue };
                    let devices = self.devices.get(owner).into_iter().flatten();
                    let named = devices.filter(|device| device.id == *id).copied();
                    found.entry(owner.clone()).or_default().extend(named);
                }
                found.into_iter().collect()
            }
        }
    }

    /// Whether somebody would be woken, if they want to be and have not had too many.
    fn devices_and_cohorts(
        &self,
        user: &User,
        named: &[Device],
    ) -> (Vec<SubscriptionId>, Vec<i64>) {
        let alone = named.iter().filter(|device| device.mixed == Mixed::Batch);
        // Also of a user whose devices belong to none any more: of one who has left it a ghost.
        (
            alone.map(|device| device.id).collect(),
            self.cohorts.get(user).cloned().unwrap_or_default(),
        )
    }

    fn wants(&self, user: &User, Conditions { event_type, policy, .. }: &Conditions) -> bool {
        let said = self.said.get(&(user.clone(), event_type.clone()));
        said.copied().unwrap_or(policy.wakes)
    }

    /// Whose notifications are counted.
    fn to_count(&self, asked: &Asked<'_>) -> Vec<(User, EventType)> {
        let Some((conditions, _)) = limit_of(asked) else { return Vec::new() };
        let counted = self.resolve(asked.audience).into_iter().filter(|(user, named)| {
            let (devices, cohorts) = self.devices_and_cohorts(user, named);
            // Anybody who has no device leaves no trace.
            !(devices.is_empty() && cohorts.is_empty()) && self.wants(user, conditions)
        });
        counted.map(|(user, _)| (user, conditions.event_type.clone())).collect()
    }

    /// Whom an audience wakes. Content is delivered to all of it.
    pub(super) fn answer(&mut self, asked: &Asked<'_>, deliver: Option<&ToDeliver>) -> Answered {
        let mut answered = Answered::default();
        for (user, named) in self.resolve(asked.audience) {
            if let Some(content) = deliver {
                self.deliveries.push((user.clone(), content.clone()));
            }
            let sealed = named.iter().filter(|device| device.mixed == Mixed::Sealed);
            answered.sealed.extend(sealed.map(|device| device.id));
            let (devices, cohorts) = self.devices_and_cohorts(&user, &named);
            // Anybody else who has no device leaves no trace.
            if devices.is_empty() && cohorts.is_empty() {
                continue;
            }
            let conditions = asked.conditions.as_ref();
            if conditions.is_some_and(|conditions| !self.wants(&user, conditions)) {
                answered.muted += 1;
            } else if self.is_within(&user, asked) {
                answered.devices.extend(devices);
                answered.cohorts.extend(cohorts);
            } else {
                let limited = devices.len() + usize::from(!cohorts.is_empty());
                answered.limited += i64::try_from(limited).unwrap_or(i64::MAX);
            }
        }
        answered
    }

    fn is_within(&mut self, user: &User, asked: &Asked<'_>) -> bool {
        let Some((conditions, limit)) = limit_of(asked) else { return true };
        self.counters.is_within((user, &conditions.event_type), (limit, conditions.now))
    }

    /// Writes what was counted, and what goes to inboxes.
    pub(super) async fn write(self, tables: &mut Tables<'_>) -> Done<()> {
        self.counters.write(tables).await?;
        tables.deliver(&self.deliveries).await
    }
}

/// The limit that applies. Nobody is woken by a dry run, so that it counts for nothing.
fn limit_of<'a>(asked: &'a Asked<'_>) -> Option<(&'a Conditions, Limit)> {
    let conditions = asked.conditions.as_ref().filter(|_| asked.dry_run == DryRun::No)?;
    conditions.policy.limit.map(|limit| (conditions, limit))
}
