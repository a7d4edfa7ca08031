//! Where we may send: endpoints are chosen by clients, and we stand inside somebody's network (contract: providers.md §3.8).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::service::{Service, is_or_is_under};

/// Longest endpoint, in bytes.
const ENDPOINT_BYTES_MAX: usize = 2_048;

/// Which hosts are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GuardMode {
    /// The known push services, and those configured.
    #[default]
    Allowlist,
    /// Every public host; for UnifiedPush.
    Public,
}

/// Decides where we may send.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Which hosts are allowed.
    pub mode: GuardMode,
    /// More hosts for the allowlist; sub-domains count.
    pub hosts: Vec<String>,
    /// Origins nothing is asked of, for sandboxes and services inside: scheme, host and port as [`Url`] writes them.
    pub origins: Vec<String>,
}

/// Why we do not send there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a URL, or longer than 2,048 bytes.
    #[error("the endpoint is not a URL of up to {ENDPOINT_BYTES_MAX} bytes")]
    Url,
    /// Not https.
    #[error("the endpoint is not https")]
    Scheme,
    /// Another port than 443.
    #[error("the endpoint's port is not 443")]
    Port,
    /// A user or password in it, or a fragment.
    #[error("the endpoint has a user, a password or a fragment")]
    Parts,
    /// An address instead of a name.
    #[error("the endpoint's host is an address, not a name")]
    Literal,
    /// A host that is not on the list.
    #[error("the endpoint's host is not a known push service")]
    Host,
}

impl Guard {
    /// Reads an origin as an operator writes it; nothing where it is not `https://HOST` or `https://HOST:PORT`.
    pub fn origin(text: &str) -> Option<String> {
        let url = Url::parse(text).ok().filter(|url| url.scheme() == "https")?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        (is_bare && url.username().is_empty() && url.password().is_none())
            .then(|| url.origin().ascii_serialization())
    }

    /// Reads an endpoint, if we may send there as far as its text tells. Its addresses are looked at when connecting.
    pub fn endpoint(&self, text: &str) -> Result<Url, Refusal> {
        if text.len() > ENDPOINT_BYTES_MAX {
            return Err(Refusal::Url);
        }
        let url = Url::parse(text).map_err(|_| Refusal::Url)?;
        // Escaping makes it longer.
        if url.as_str().len() > ENDPOINT_BYTES_MAX {
            return Err(Refusal::Url);
        }
        self.check(&url)?;
        Ok(url)
    }

    /// Whether we may send to an endpoint, as far as its text tells.
    pub fn check(&self, url: &Url) -> Result<(), Refusal> {
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(Refusal::Parts);
        }
        if self.is_exempt(url) {
            return Ok(());
        }
        if url.scheme() != "https" {
            return Err(Refusal::Scheme);
        }
        if url.port().is_some() {
            return Err(Refusal::Port);
        }
        // `2130706433` and `0x7f.1` are addresses too; the parser has turned them into such.
        let Some(Host::Domain(host)) = url.host() else { return Err(Refusal::Literal) };
        let host = host.trim_end_matches('.');
        // Its addresses are not looked at, so that only the origin itself is reached there.
        if self.is_exempt_host(host) {
            return Err(Refusal::Host);
        }
        let is_listed = Service::at(host) != Service::Other
            || self.hosts.iter().any(|listed| is_or_is_under(host, listed));
        match self.mode {
            GuardMode::Allowlist if !is_listed => Err(Refusal::Host),
            GuardMode::Public if !host.contains('.') => Err(Refusal::Host),
            _ => Ok(()),
        }
    }

    /// Whether an origin was configured to be trusted.
    fn is_exempt(&self, url: &Url) -> bool {
        let origin = url.origin().ascii_serialization();
        self.origins.contains(&origin)
    }

    /// Whether a name belongs to a trusted origin, so that its addresses are not looked at.
    pub(super) fn is_exempt_host(&self, name: &str) -> bool {
        self.origins
            .iter()
            .filter_map(|origin| Url::parse(origin).ok())
            .any(|origin| origin.host_str().is_some_and(|host| host.eq_ignore_ascii_case(name)))
    }
}

/// Whether an address belongs to the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        // Carrier-grade NAT, protocol assignments, 6to4 relays, benchmarking, reserved.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    match address.segments() {
        // NAT64 and 6to4 lead to the IPv4 address they hold.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        // Teredo and other assignments for protocols, documentation.
        [0x2001, 0..0x0200 | 0x0db8, ..] | [0x3fff, 0..0x1000, ..] => false,
        // Of all of IPv6 only 2000::/3 is given out.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::{Guard, GuardMode, Refusal, is_public};

    const NAME: &str = "https://push.example.org/up/1";

    fn guard(mode: GuardMode) -> Guard {
        Guard { mode, ..Guard::default() }
    }

    #[test]
    fn endpoints_that_are_refused_by_their_text() {
        let rows = [
            ("http://updates.push.services.mozilla.com/1", Refusal::Scheme),
            ("ftp://updates.push.services.mozilla.com/1", Refusal::Scheme),
            ("file:///etc/passwd", Refusal::Scheme),
            ("https://updates.push.services.mozilla.com:8443/1", Refusal::Port),
            ("https://updates.push.services.mozilla.com:22/1", Refusal::Port),
            ("https://u@updates.push.services.mozilla.com/1", Refusal::Parts),
            ("https://u:p@updates.push.services.mozilla.com/1", Refusal::Parts),
            ("https://updates.push.services.mozilla.com/1#x", Refusal::Parts),
            ("https://127.0.0.1/", Refusal::Literal),
            ("https://2130706433/", Refusal::Literal),
            ("https://0x7f.1/", Refusal::Literal),
            ("https://0177.0.0.1/", Refusal::Literal),
            ("https://127.1/", Refusal::Literal),
            ("https://0x7f000001/", Refusal::Literal),
            ("https://①②⑦.⓪.⓪.①/", Refusal::Literal),
            ("https://8.8.8.8/", Refusal::Literal),
            ("https://169.254.169.254/latest/meta-data", Refusal::Literal),
            ("https://[::1]/", Refusal::Literal),
            ("https://[::ffff:127.0.0.1]/", Refusal::Literal),
            ("https://[2606:4700::1]/", Refusal::Literal),
            ("https://localhost/", Refusal::Host),
            ("https://metadata/", Refusal::Host),
            ("https://metadata./", Refusal::Host),
            ("https:///x", Refusal::Host),
            ("push.example.org/1", Refusal::Url),
            ("", Refusal::Url),
        ];
        for (text, refusal) in rows {
            for mode in [GuardMode::Allowlist, GuardMode::Public] {
                assert_eq!(guard(mode).endpoint(text), Err(refusal), "{text} {mode:?}");
            }
        }
        let long = format!("{NAME}{}", "x".repeat(2_048));
        assert_eq!(guard(GuardMode::Public).endpoint(&long), Err(Refusal::Url));
    }

    #[test]
    fn the_allowlist_knows_the_services_and_the_public_mode_every_name() {
        let allowlist = guard(GuardMode::Allowlist);
        for host in [
            "updates.push.services.mozilla.com",
            "fcm.googleapis.com",
            "jmt17.google.com",
            "web.push.apple.com",
            "wns2-par02p.notify.windows.com",
            "FCM.googleapis.com",
        ] {
            assert!(allowlist.endpoint(&format!("https://{host}/x")).is_ok(), "{host}");
        }
        for host in ["push.apple.com.evil.example", "evilpush.apple.com", "ntfy.example"] {
            let text = format!("https://{host}/x");
            assert_eq!(allowlist.endpoint(&text), Err(Refusal::Host), "{host}");
            assert!(guard(GuardMode::Public).endpoint(&text).is_ok(), "{host}");
        }
        let more = Guard { hosts: vec!["example.org".to_owned()], ..Guard::default() };
        assert!(more.endpoint(NAME).is_ok());
        assert_eq!(more.endpoint("https://badexample.org/"), Err(Refusal::Host));
    }

    #[test]
    fn a_trusted_origin_is_exactly_that_origin() {
        let origins = vec!["https://127.0.0.1:8913".to_owned()];
        let guard = Guard { origins, ..Guard::default() };
        assert!(guard.endpoint("https://127.0.0.1:8913/mozilla/1").is_ok());
        for other in [
            "https://127.0.0.1:8914/",
            "http://127.0.0.1:8913/",
            "https://127.0.0.1/",
            "https://127.0.0.2:8913/",
        ] {
            assert!(guard.endpoint(other).is_err(), "{other}");
        }
        assert_eq!(guard.endpoint("https://u@127.0.0.1:8913/"), Err(Refusal::Parts));
        let origins = vec!["https://push.corp.example:8443".to_owned()];
        let guard = Guard { mode: GuardMode::Public, origins, ..Guard::default() };
        assert!(guard.endpoint("https://push.corp.example:8443/1").is_ok());
        assert_eq!(guard.endpoint("https://push.corp.example/1"), Err(Refusal::Host));
    }

    #[test]
    fn addresses_that_are_not_of_the_public_internet() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "2001:10::1",
            "3fff::1",
            "100::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ];
        for text in refused {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::",
        ];
        for text in public {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
