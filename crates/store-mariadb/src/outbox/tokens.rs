//! Tokens that callers name. In cohort mode it is found out whose they are, so that their users are woken as a whole.

use std::collections::{BTreeMap, BTreeSet};

use reveille_model::limits::SUBSCRIPTIONS_PER_USER_MAX;
use reveille_model::{
    DryRun, Mixed, NewSubscription, Settled, Spread, SubscriptionId, Timestamp, Token, User,
};
use reveille_store::tables::{Change, Kind, Shape};
use reveille_store::{Item, TokenKey, TokenMessage};
use reveille_vault::BlindKey;

use super::accept::{SealedRow, seal_tokens};
use super::gathering::Gathering;
use super::intake::Wish;
use crate::codec::{array, count, flag, number, user};
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::rows::{listing, padded};
use crate::statement::query;

/// Most tokens in one statement.
const TOKENS_MAX: usize = 1_024;

/// Who has registered which tokens, where users are woken in cohorts.
#[derive(Default)]
pub(super) struct Owners(BTreeMap<TokenKey, (User, Kind)>);

impl Owners {
    /// Those of all tokens of a group.
    pub(super) async fn find(tables: &mut Tables<'_>, wishes: &[Wish]) -> Done<Self> {
        let mut keys = BTreeSet::new();
        if tables.cohort_sizes().is_some() {
            let items = wishes.iter().flat_map(|wish| &wish.acceptance.items);
            for item in items {
                if let Item::Tokens(message) = item {
                    let provider = message.set.provider();
                    keys.extend(
                        message.tokens.iter().map(|token| tables.token_key(provider, token)),
                    );
                }
            }
        }
        let (keys, mut owners) = (keys.into_iter().collect::<Vec<_>>(), BTreeMap::new());
        for part in keys.chunks(TOKENS_MAX) {
            let part = padded(part.iter().copied());
            let sql = concat!(
                "SELECT token_key, user_name, set_id, on_beat FROM subscriptions",
                " WHERE token_key IN ({})"
            );
            let mut select = query(listing(sql, "?", part.len()));
            for key in &part {
                select = select.bind(key.0.as_slice());
            }
            for row in tables.all(select).await? {
                let kind = Kind { set_id: number(&row, 2)?, is_sealed: flag(&row, 3)? };
                owners.insert(TokenKey(array(&row, 0)?), (user(&row, 1)?, kind));
            }
        }
        Ok(Self(owners))
    }

    /// Lets the tokens of a message join a window. `rows` has them sealed. Returns how many wake-ups that makes.
    pub(super) async fn accept(
        &mut self,
        tables: &mut Tables<'_>,
        (message, rows): (&TokenMessage, &[SealedRow]),
        times: (Timestamp, Timestamp),
        gathering: &mut Gathering,
    ) -> Done<u64> {
        let set_id = tables.set_id(&message.set).await?;
        let unusable = i64::from(message.unusable);
        gathering.count_only(Change::accepted(unusable));
        gathering.count_only(Change::settled(Settled::PayloadError, unusable));
        let shape = Shape {
            message_type: message.message_type.clone(),
            ttl_ms: message.ttl.as_ms().cast_signed(),
            dry_run: message.dry_run,
        };
        let set = (set_id, message.topic.as_ref());
        if tables.cohort_sizes().is_none() {
            let rows = rows.iter();
            let rows = rows.map(|row| SealedRow { count: row.count, targets: row.targets.clone() });
            gathering.tokens((&shape, set), rows, times.1);
            return Ok(message.tokens.len() as u64);
        }
        let (alone, marked) =
            self.in_company((message, set_id), times, (tables, gathering)).await?;
        let rows = seal_tokens(tables.vault(), &alone);
        gathering.tokens((&shape, set), rows.into_iter(), times.1);
        Ok(marked + alone.len() as u64)
    }

    /// Wakes those who have registered the tokens with their cohorts. Those nobody has registered belong to one who has no name; those whose devices are in no
    /// cohort are returned.
    async fn in_company(
        &mut self,
        (message, set_id): (&TokenMessage, i64),
        (now, window_end): (Timestamp, Timestamp),
        (tables, gathering): (&mut Tables<'_>, &mut Gathering),
    ) -> Done<(Vec<Token>, u64)> {
        let is_silent = tables.mixed(Kind { set_id, is_sealed: false }) == Mixed::Cohort;
        let (mut users, mut fresh, mut alone) = (BTreeSet::new(), Vec::new(), Vec::new());
        for token in &message.tokens {
            let key = tables.token_key(message.set.provider(), token);
            match self.0.get(&key) {
                Some((owner, kind)) if tables.mixed(*kind) == Mixed::Cohort => {
                    users.insert(owner.clone());
                }
                None if is_silent => fresh.push(token.clone()),
                _ => alone.push(token.clone()),
            }
        }
        if message.dry_run == DryRun::Yes {
            // Whoever only asks registers nobody.
            let count = i64::try_from(fresh.len()).unwrap_or(i64::MAX);
            gathering
                .count_only(Change::accepted(count).and(Change::settled(Settled::DryRun, count)));
            fresh.clear();
        }
        self.register_unnamed(tables, (message, set_id), (&fresh, &mut users), now).await?;
        let users: Vec<User> = users.into_iter().collect();
        let cohorts: BTreeSet<i64> =
            tables.cohorts_of(&users).await?.into_values().flatten().collect();
        let cohorts: Vec<i64> = cohorts.into_iter().collect();
        let marked =
            gathering.wake_cohorts((&cohorts, message.dry_run), (&Spread::default(), window_end));
        Ok((alone, marked))
    }

    /// Tokens that came together, or with those of one who has no name, are one's.
    async fn register_unnamed(
        &mut self,
        tables: &mut Tables<'_>,
        (message, set_id): (&TokenMessage, i64),
        (fresh, users): (&[Token], &mut BTreeSet<User>),
        now: Timestamp,
    ) -> Done<()> {
        if fresh.is_empty() {
            return Ok(());
        }
        let only = users.first().filter(|only| users.len() == 1 && only.is_unnamed()).cloned();
        let joined = match only {
            Some(only) => {
                let known = query("SELECT COUNT(*) FROM subscriptions WHERE user_name = ?");
                let known = tables.one(known.bind(only.expose().as_bytes())).await?;
                let known = count(&known.ok_or_else(corrupt)?, 0)?;
                let room = (SUBSCRIPTIONS_PER_USER_MAX as u64).saturating_sub(known);
                Some(only).filter(|_| fresh.len() as u64 <= room)
            }
            None => None,
        };
        for tokens in fresh.chunks(SUBSCRIPTIONS_PER_USER_MAX) {
            let user = joined.clone().unwrap_or_else(|| User::unnamed(random_16()));
            for token in tokens {
                let new = NewSubscription {
                    user: user.clone(),
                    set: message.set.clone(),
                    topic: message.topic.clone(),
                    token: token.clone(),
                };
                let key = tables.token_key(message.set.provider(), token);
                tables.put(new, SubscriptionId::from_bytes(random_16()), usize::MAX, now).await?;
                self.0.insert(key, (user.clone(), Kind { set_id, is_sealed: false }));
            }
            users.insert(user);
        }
        tables.enrol_changed().await
    }
}

fn random_16() -> [u8; 16] {
    BlindKey::fresh().first_chunk().copied().unwrap_or_default()
}
