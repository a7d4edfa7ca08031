//! Whose events there are, and whose devices.

use std::collections::BTreeMap;

use reveille_model::Rng;

use super::logs::{Event, Owner};
use super::trace::Trace;

/// An account of the truth.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Account {
    /// When something happened to it, in order.
    pub(super) events: Vec<i64>,
    /// Its devices that were ever pushed, by their numbers.
    pub(super) devices: Vec<usize>,
}

/// The accounts of the truth that have events, by name.
pub(super) fn accounts(events: &[Event], truth: &[Owner], trace: &Trace) -> Vec<Account> {
    let mut accounts: BTreeMap<i64, Account> = BTreeMap::new();
    for owner in truth {
        let account = accounts.entry(owner.account).or_default();
        account.devices.extend(trace.number(owner.device));
    }
    for event in events {
        if let Some(account) = accounts.get_mut(&event.account) {
            account.events.push(event.at);
        }
    }
    let mut accounts: Vec<Account> = accounts.into_values().collect();
    accounts.retain(|account| !account.events.is_empty());
    for account in &mut accounts {
        account.events.sort_unstable();
        account.devices.sort_unstable();
        account.devices.dedup();
    }
    accounts
}

/// So many of them, each as likely as any other, in their order.
pub(super) fn sample(accounts: &[Account], count: usize, seed: u64) -> Vec<&Account> {
    let mut places: Vec<usize> = (0..accounts.len()).collect();
    Rng::from_number(seed).shuffle(&mut places);
    places.truncate(count);
    places.sort_unstable();
    places.iter().filter_map(|place| accounts.get(*place)).collect()
}
