//! Places for connections: so many at once, and not all of them for one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many connections one address may hold.
#[derive(Debug, Clone)]
pub struct PerAddress {
    /// Most at once. One more is closed as soon as it comes.
    pub connections_max: usize,
    /// Who may hold any number: proxies, whose connections are many people's.
    pub exempt: Vec<IpNet>,
}

/// Whose address counts as one: of IPv6 a network of 64 bits, since whoever has one has all of its addresses.
pub fn network(address: IpAddr) -> Ipv6Addr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)),
    }
}

/// The places of a listener.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    of_addresses: Option<Arc<OfAddresses>>,
}

#[derive(Debug)]
struct OfAddresses {
    limit: PerAddress,
    /// Of each that holds any, how many. No more of them than there are places.
    held: Mutex<HashMap<Ipv6Addr, usize>>,
}

/// A place that a connection holds.
#[derive(Debug)]
pub(crate) struct Place {
    _of_all: OwnedSemaphorePermit,
    of_address: Option<(Arc<OfAddresses>, Ipv6Addr)>,
}

impl Places {
    pub(crate) fn new(all: usize, limit: Option<PerAddress>) -> Self {
        let of_addresses =
            limit.map(|limit| Arc::new(OfAddresses { limit, held: Mutex::default() }));
        Self { all: Arc::new(Semaphore::new(all)), of_addresses }
    }

    /// Waits until there is a place. Nothing, where there will be none any more.
    pub(crate) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// Gives a free place to an address; nothing, where that holds as many as it may.
    pub(crate) fn give(&self, free: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let counts = self.of_addresses.as_ref();
        let counts = counts.filter(|all| !all.limit.exempt.iter().any(|it| it.contains(&address)));
        let of_address = match counts {
            None => None,
            Some(all) => {
                let network = network(address);
                let mut held = all.held();
                let held = held.entry(network).or_default();
                if *held >= all.limit.connections_max {
                    return None;
                }
                *held += 1;
                Some((Arc::clone(all), network))
            }
        };
        Some(Place { _of_all: free, of_address })
    }
}

impl OfAddresses {
    fn held(&self) -> MutexGuard<'_, HashMap<Ipv6Addr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((all, network)) = &self.of_address else { return };
        let mut held = all.held();
        match held.get_mut(network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(network)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{PerAddress, Place, Places};

    async fn take(places: &Places, address: &str) -> Option<Place> {
        places.give(places.free().await?, address.parse::<IpAddr>().unwrap())
    }

    #[tokio::test]
    async fn an_address_has_so_many_places_and_a_proxy_as_many_as_there_are() {
        let exempt = vec!["10.0.0.0/8".parse().unwrap()];
        let places = Places::new(6, Some(PerAddress { connections_max: 2, exempt }));
        let first = take(&places, "192.0.2.1").await;
        let second = take(&places, "::ffff:192.0.2.1").await;
        assert!(first.is_some() && second.is_some());
        assert!(take(&places, "192.0.2.1").await.is_none());
        // A network of IPv6 is one.
        let (one, other) = (take(&places, "2001:db8::1").await, take(&places, "2001:db8::2").await);
        assert!(one.is_some() && other.is_some() && take(&places, "2001:db8::3").await.is_none());
        let proxied = (take(&places, "10.0.0.1").await, take(&places, "10.0.0.1").await);
        assert!(proxied.0.is_some() && proxied.1.is_some());
        assert_eq!(places.all.available_permits(), 0, "what was refused holds none");
        drop(first);
        assert!(take(&places, "192.0.2.1").await.is_some());
        drop((second, one, other));
        assert!(places.of_addresses.unwrap().held().is_empty(), "nothing is kept of who is gone");
    }
}
