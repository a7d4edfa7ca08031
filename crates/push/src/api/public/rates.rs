//! How often one user, and one address, may call.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::hmac;
use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use http::HeaderMap;
use ipnet::IpNet;
use reveille_model::User;
use reveille_service::places::network;

use super::CallerError;

/// Most users or addresses that are counted apart. Beyond it those that are new are counted as one.
const KEYS_MAX: usize = 100_000;
/// After so many calls those that have rested are forgotten.
const CALLS_PER_SWEEP: u32 = 4_096;

/// Names a user or an address without saying which.
type Key = [u8; 16];

/// The two limits.
pub(crate) struct RateLimits {
    users: Limit,
    addresses: Limit,
    /// Proxies whose `X-Forwarded-For` is believed.
    trusted_proxies: Vec<IpNet>,
    /// Makes keys that cannot be chosen to collide.
    hmac: hmac::Key,
}

impl std::fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RateLimits")
    }
}

impl RateLimits {
    /// Requests a minute of one user and of one address.
    pub(crate) fn new(
        per_user: NonZeroU32,
        per_address: NonZeroU32,
        trusted_proxies: Vec<IpNet>,
        hmac: hmac::Key,
    ) -> Self {
        let (users, addresses) = (Limit::new(per_user), Limit::new(per_address));
        Self { users, addresses, trusted_proxies, hmac }
    }

    pub(in crate::api) fn user(&self, user: &User) -> Result<(), CallerError> {
        self.users.check(self.key(user.expose().as_bytes()))
    }

    /// Counts the address a request comes from. An IPv6 network is one address: whoever has one has all of them.
    pub(in crate::api) fn address(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<(), CallerError> {
        let network = network(self.client(headers, peer));
        self.addresses.check(self.key(&network.octets()))
    }

    /// The address a request comes from.
    pub(in crate::api) fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        client(headers, peer, &self.trusted_proxies)
    }

    fn key(&self, of: &[u8]) -> Key {
        let tag = hmac::sign(&self.hmac, of);
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// The client's address: behind proxies that are trusted, the last one that none of them has.
fn client(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|range| range.contains(address));
    let mut address = peer.to_canonical();
    // What a client has put in front may be anything; what proxies add comes last.
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops {
        if !is_trusted(&address) {
            break;
        }
        let Some(next) = hop_address(hop) else { break };
        address = next.to_canonical();
    }
    address
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|at: SocketAddr| at.ip()))
}

/// One limit. Bounded in memory, however many call.
struct Limit {
    limiter: RateLimiter<Key, DashMapStateStore<Key>, DefaultClock>,
    calls: AtomicU32,
}

impl Limit {
    fn new(per_minute: NonZeroU32) -> Self {
        let limiter = RateLimiter::dashmap(Quota::per_minute(per_minute));
        Self { limiter, calls: AtomicU32::new(0) }
    }

    fn check(&self, key: Key) -> Result<(), CallerError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) % CALLS_PER_SWEEP == CALLS_PER_SWEEP - 1 {
            self.limiter.retain_recent();
        }
        let key = if self.limiter.len() < KEYS_MAX { key } else { Key::default() };
        self.limiter.check_key(&key).map_err(|refusal| {
            let wait = refusal.wait_time_from(DefaultClock::default().now());
            let wait_s = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            CallerError::TooManyRequests { wait_s }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use aws_lc_rs::hmac;
    use http::{HeaderMap, HeaderValue};
    use reveille_model::User;

    use super::{CallerError, Limit, RateLimits, client};

    fn forwarded(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn only_trusted_proxies_say_where_a_client_is() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        for (lines, peer, expected) in [
            (&["1.1.1.1"][..], "9.9.9.9", "9.9.9.9"),
            (&["1.1.1.1"], "10.0.0.1", "1.1.1.1"),
            (&["6.6.6.6, 1.1.1.1"], "10.0.0.1", "1.1.1.1"),
            (&["6.6.6.6, 1.1.1.1, 10.0.0.2"], "10.0.0.1", "1.1.1.1"),
            (&["6.6.6.6", "1.1.1.1"], "::ffff:10.0.0.1", "1.1.1.1"),
            (&["\u{e9}, 1.1.1.1"], "10.0.0.1", "1.1.1.1"),
            (&["1.1.1.1:80"], "10.0.0.1", "1.1.1.1"),
            (&["[2001:db8::1]:80"], "10.0.0.1", "2001:db8::1"),
            (&["[2001:db8::1]"], "10.0.0.1", "2001:db8::1"),
            (&["6.6.6.6, nonsense"], "10.0.0.1", "10.0.0.1"),
            (&[], "10.0.0.1", "10.0.0.1"),
        ] {
            let found = client(&forwarded(lines), peer.parse().unwrap(), &trusted);
            assert_eq!(found.to_string(), expected, "{lines:?} from {peer}");
        }
    }

    #[test]
    fn each_has_its_own_allowance_and_is_told_when_it_comes_back() {
        let three = NonZeroU32::new(3).unwrap();
        let limits =
            RateLimits::new(three, three, Vec::new(), hmac::Key::new(hmac::HMAC_SHA256, &[1]));
        let (alice, bob) = (User::parse("alice").unwrap(), User::parse("bob").unwrap());
        for _ in 0..3 {
            assert_eq!(limits.user(&alice), Ok(()));
        }
        let Err(CallerError::TooManyRequests { wait_s }) = limits.user(&alice) else {
            panic!("let in")
        };
        assert!((1..=21).contains(&wait_s), "{wait_s} s");
        assert_eq!(limits.user(&bob), Ok(()));

        let address = |text: &str| limits.address(&HeaderMap::new(), text.parse().unwrap());
        for host in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
            assert_eq!(address(host), Ok(()));
        }
        assert!(address("2001:db8::4").is_err(), "a network is one");
        assert_eq!(address("2001:db8:0:1::4"), Ok(()));
    }

    #[test]
    fn memory_has_a_bound_however_many_call() {
        let limit = Limit::new(NonZeroU32::new(60_000_000).unwrap());
        for number in 0..300_000_u128 {
            assert_eq!(limit.check(number.to_be_bytes()), Ok(()));
        }
        assert!(limit.limiter.len() <= super::KEYS_MAX + 1);
    }
}
