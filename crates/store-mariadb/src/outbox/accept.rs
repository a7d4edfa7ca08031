//! Taking responsibility, for a group of requests at once.

use std::collections::BTreeMap;

use reveille_model::{Notification, NotificationId, Timestamp, Token};
use reveille_store::tables::{Change, Shape, fitting, pack_ids, pack_texts, unpack_notifications};
use reveille_store::{AcceptError, Acceptance, Accepted, Idempotency, Item, StoreError};
use reveille_vault::{Purpose, Vault};

use super::audience::{Asked, Conditions, Known, ToDeliver};
use super::gathering::{Drafts, Gathering};
use super::intake::Wish;
use super::scheduled::{Kept, ToSchedule, schedule};
use super::tokens::Owners;
use crate::codec::{array, bytes};
use crate::engine::Tables;
use crate::error::{Done, corrupt};
use crate::rows::{chunks, listing, padded};
use crate::statement::query;

/// How much of a gathered row targets fill: several rows fit into one page of 16 KiB.
pub(super) const ROW_BYTES: usize = 3_800;

/// What of an item is secret, sealed.
pub(super) enum Sealed {
    /// The tokens it names, as gathered rows.
    Tokens(Vec<SealedRow>),
    /// Its content.
    Content(Option<Vec<u8>>),
}

/// The tokens of one gathered row.
pub(super) struct SealedRow {
    pub(super) count: i64,
    pub(super) targets: Vec<u8>,
}

/// Packs and seals what is secret of each item, before the database has it.
pub(super) fn seal(vault: &Vault, items: &[Item]) -> Vec<Sealed> {
    let seal_one = |item: &Item| match item {
        Item::Notification(Notification { content, .. }) => Sealed::Content(
            content.as_ref().map(|json| vault.seal(Purpose::Content, json.expose().as_bytes())),
        ),
        Item::Tokens(message) => Sealed::Tokens(seal_tokens(vault, &message.tokens)),
    };
    items.iter().map(seal_one).collect()
}

pub(super) fn seal_tokens(vault: &Vault, tokens: &[Token]) -> Vec<SealedRow> {
    let seal_row = |tokens: &[Token]| {
        let packed = pack_texts(tokens.iter().map(Token::expose));
        let count = i64::try_from(tokens.len()).unwrap_or(i64::MAX);
        SealedRow { count, targets: vault.seal(Purpose::Targets, &packed) }
    };
    fitting(tokens, ROW_BYTES, Token::expose).map(seal_row).collect()
}

/// Why a request was not accepted. Nothing of it was written.
#[derive(Debug)]
pub(super) enum Refusal {
    WindowClosed(Timestamp),
    Full,
    KeyReused,
    Store(StoreError),
}

impl Refusal {
    /// As its caller hears it, who gets it back where it came too late.
    pub(super) fn of(self, acceptance: Acceptance) -> AcceptError {
        match self {
            Self::WindowClosed(closed_until) => {
                AcceptError::WindowClosed { closed_until, acceptance: Box::new(acceptance) }
            }
            Self::Full => AcceptError::Full,
            Self::KeyReused => AcceptError::KeyReused,
            Self::Store(error) => AcceptError::Store(error),
        }
    }
}

/// Accepts a group. Each request is accepted whole or refused, whatever becomes of the others.
pub(super) async fn accept(
    tables: &mut Tables<'_>,
    wishes: &[Wish],
) -> Done<Vec<Result<Accepted, Refusal>>> {
    let gate = tables.pass_gate().await?;
    let mut repeated = Repeated::find(tables, wishes).await?;
    let mut known = Known::load(tables, &asked(wishes)).await?;
    let mut owners = Owners::find(tables, wishes).await?;
    let (mut answers, mut gathering) = (Vec::with_capacity(wishes.len()), Gathering::default());
    let mut waiting = gate.waiting;
    for Wish { acceptance, sealed } in wishes {
        let verdict = match acceptance.idempotency {
            Some(idempotency) => repeated.verdict(idempotency),
            None => None,
        };
        if let Some(verdict) = verdict {
            answers.push(verdict);
        } else if acceptance.window_end <= gate.closed_until {
            answers.push(Err(Refusal::WindowClosed(gate.closed_until)));
        } else if waiting >= acceptance.waiting_max {
            answers.push(Err(Refusal::Full));
        } else {
            let mut one =
                One { tables, known: &mut known, owners: &mut owners, gathering: &mut gathering };
            let accepted = one.accept((acceptance, sealed), gate.closed_until).await?;
            if let (Some(idempotency), Accepted::New { ids, .. }) =
                (acceptance.idempotency, &accepted)
            {
                repeated.add(idempotency, ids, acceptance.now);
            }
            // What is scheduled waits, too.
            waiting += named(acceptance);
            answers.push(Ok(accepted));
        }
    }
    known.write(tables).await?;
    gathering.write(tables).await?;
    repeated.write(tables).await?;
    Ok(answers)
}

fn named(acceptance: &Acceptance) -> u64 {
    let of = |item: &Item| match item {
        Item::Tokens(message) => message.tokens.len(),
        Item::Notification(notification) => notification.audience.len(),
    };
    acceptance.items.iter().map(of).sum::<usize>() as u64
}

fn notifications(wishes: &[Wish]) -> impl Iterator<Item = (&Acceptance, &Notification)> {
    wishes.iter().flat_map(|Wish { acceptance, .. }| {
        acceptance.items.iter().filter_map(move |item| match item {
            Item::Notification(notification) => Some((acceptance, notification)),
            Item::Tokens(_) => None,
        })
    })
}

/// Whom notifications ask for.
fn asked(wishes: &[Wish]) -> Vec<Asked<'_>> {
    notifications(wishes)
        .map(|(acceptance, notification)| Asked {
            audience: &notification.audience,
            dry_run: notification.dry_run,
            conditions: Some(conditions(notification, acceptance.now)),
        })
        .collect()
}

fn conditions(notification: &Notification, now: Timestamp) -> Conditions {
    Conditions { event_type: notification.event_type.clone(), policy: notification.policy, now }
}

/// One request of a group.
struct One<'g, 'e> {
    tables: &'g mut Tables<'e>,
    known: &'g mut Known,
    owners: &'g mut Owners,
    gathering: &'g mut Gathering,
}

impl One<'_, '_> {
    async fn accept(
        &mut self,
        (acceptance, sealed): (&Acceptance, &[Sealed]),
        closed_until: Timestamp,
    ) -> Done<Accepted> {
        let (mut ids, mut wakeups, mut muted) = (Vec::new(), 0, 0);
        let times = (acceptance.now, acceptance.window_end);
        for (item, sealed) in acceptance.items.iter().zip(sealed) {
            match (item, sealed) {
                (Item::Tokens(message), Sealed::Tokens(rows)) => {
                    let Self { tables, owners, gathering, .. } = self;
                    wakeups += owners.accept(tables, (message, rows), times, gathering).await?;
                }
                (Item::Notification(notification), Sealed::Content(content)) => {
                    ids.push(notification.id);
                    let content = content.as_deref();
                    let gathered = self.notification((notification, content), times, closed_until);
                    wakeups += gathered.0;
                    muted += gathered.1;
                }
                // Each is sealed as what it is.
                _ => return Err(corrupt()),
            }
        }
        Ok(Accepted::New { ids, wakeups, muted })
    }

    /// Returns how many wake-ups joined the window, and how many users do not want it.
    fn notification(
        &mut self,
        (notification, content): (&Notification, Option<&[u8]>),
        (now, window_end): (Timestamp, Timestamp),
        closed_until: Timestamp,
    ) -> (u64, u64) {
        let scheduled_for = notification.deliver_after.filter(|due| *due >= window_end);
        let shape = Shape {
            message_type: notification.message_type.clone(),
            ttl_ms: notification.ttl.as_ms().cast_signed(),
            dry_run: notification.dry_run,
        };
        let Notification { id, event_type, audience, dry_run, .. } = notification;
        let asked =
            Asked { audience, dry_run: *dry_run, conditions: Some(conditions(notification, now)) };
        let Some(due) = scheduled_for else {
            let deliver = content.map(|sealed| ToDeliver {
                id: *id,
                event_type: event_type.clone(),
                at: now,
                sealed: sealed.to_vec(),
            });
            let answered = self.known.answer(&asked, deliver.as_ref());
            let draft = self.gathering.draft(Drafts::joining(notification, window_end));
            let muted = answered.muted;
            let joins = (&notification.spread, window_end);
            let wakeups = self.gathering.answered(draft, &shape, &answered, joins);
            return (wakeups, muted);
        };
        let draft = self.gathering.draft(Drafts::waiting(notification, due));
        let (kept, muted) = if self.tables.cohort_sizes().is_some() && content.is_none() {
            // Nobody's name waits here, but where there is something for their inbox.
            let mut answered = self.known.answer(&asked, None);
            self.gathering.count(draft, Change::accepted(answered.limited));
            self.gathering
                .count(draft, Change::settled(reveille_model::Settled::Limited, answered.limited));
            answered.devices.append(&mut answered.sealed);
            let muted = answered.muted;
            (Kept::Found(answered), muted)
        } else {
            (Kept::Named(content.map(<[u8]>::to_vec)), 0)
        };
        let to_schedule = ToSchedule { draft, due, shape, kept, since: closed_until };
        self.gathering.schedule(schedule(notification, to_schedule));
        (0, muted)
    }
}

/// Requests that were accepted before.
struct Repeated {
    known: BTreeMap<[u8; 32], ([u8; 32], Vec<NotificationId>)>,
    new: Vec<(Idempotency, Vec<u8>, Timestamp)>,
}

impl Repeated {
    async fn find(tables: &mut Tables<'_>, wishes: &[Wish]) -> Done<Self> {
        let keys = wishes.iter().filter_map(|wish| wish.acceptance.idempotency);
        let keys = padded(keys.map(|idempotency| idempotency.key));
        let mut known = BTreeMap::new();
        if !keys.is_empty() {
            let sql =
                listing("SELECT id, body, ids FROM idempotency WHERE id IN ({})", "?", keys.len());
            let mut select = query(sql);
            for key in &keys {
                select = select.bind(key.as_slice());
            }
            for row in tables.all(select).await? {
                let ids = unpack_notifications(&bytes(&row, 2)?).ok_or_else(corrupt)?;
                known.insert(array(&row, 0)?, (array(&row, 1)?, ids));
            }
        }
        Ok(Self { known, new: Vec::new() })
    }

    /// What is said of a request whose key is known.
    fn verdict(&self, idempotency: Idempotency) -> Option<Result<Accepted, Refusal>> {
        let (body, ids) = self.known.get(&idempotency.key)?;
        Some(if *body == idempotency.body {
            Ok(Accepted::Repeated { ids: ids.clone() })
        } else {
            Err(Refusal::KeyReused)
        })
    }

    fn add(&mut self, idempotency: Idempotency, ids: &[NotificationId], now: Timestamp) {
        self.known.insert(idempotency.key, (idempotency.body, ids.to_vec()));
        self.new.push((idempotency, pack_ids(ids.iter().map(|id| *id.as_bytes())), now));
    }

    async fn write(self, tables: &mut Tables<'_>) -> Done<()> {
        for part in chunks(&self.new) {
            let sql = "INSERT INTO idempotency (id, body, ids, at) VALUES {}";
            let mut insert = query(listing(sql, "(?, ?, ?, ?)", part.len()));
            for (Idempotency { key, body }, ids, at) in part {
                insert = insert
                    .bind(key.as_slice())
                    .bind(body.as_slice())
                    .bind(ids.as_slice())
                    .bind(at.as_ms());
            }
            tables.execute(insert).await?;
        }
        Ok(())
    }
}
