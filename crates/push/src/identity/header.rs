//! A proxy that people log in at says who they are, in a header.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use reveille_model::User;

use super::Denied;

/// `mode = "header"`.
#[derive(Debug, Clone)]
pub(crate) struct HeaderConfig {
    /// The header's name.
    pub header: HeaderName,
    /// Whose word counts.
    pub peers: Vec<IpNet>,
}

#[derive(Debug)]
pub(super) struct ByHeader {
    config: HeaderConfig,
}

impl ByHeader {
    pub(super) fn new(config: HeaderConfig) -> Self {
        Self { config }
    }

    pub(super) fn user(&self, headers: &HeaderMap, peer: IpAddr) -> Result<User, Denied> {
        let HeaderConfig { header, peers } = &self.config;
        let peer = peer.to_canonical();
        if !peers.iter().any(|range| range.contains(&peer)) {
            return Err(Denied::Unknown);
        }
        let mut values = headers.get_all(header).iter();
        // Two of them mean that the proxy lets through what clients send.
        let (Some(only), None) = (values.next(), values.next()) else {
            return Err(Denied::Unknown);
        };
        let text = std::str::from_utf8(only.as_bytes()).map_err(|_| Denied::Unknown)?;
        User::parse(text).map_err(|_| Denied::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{ByHeader, HeaderConfig};
    use crate::identity::Denied;

    #[test]
    fn only_the_proxys_word_counts_and_only_one() {
        let name = HeaderName::from_static("x-remote-user");
        let peers = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let by_header = ByHeader::new(HeaderConfig { header: name.clone(), peers });
        let mut headers = HeaderMap::new();
        headers.append(&name, HeaderValue::from_static("alice"));
        let user = |headers: &HeaderMap, peer: &str| {
            by_header.user(headers, peer.parse().unwrap()).map(|user| user.expose().to_owned())
        };
        for peer in ["10.1.2.3", "::1", "::ffff:10.1.2.3"] {
            assert_eq!(user(&headers, peer), Ok("alice".to_owned()), "{peer}");
        }
        assert_eq!(user(&headers, "192.0.2.1"), Err(Denied::Unknown));
        assert_eq!(user(&HeaderMap::new(), "10.1.2.3"), Err(Denied::Unknown));
        // Somebody else's name, with a space that is none of HTTP's.
        let other = HeaderValue::from_bytes("alice\u{a0}".as_bytes()).unwrap();
        let padded = HeaderMap::from_iter([(name.clone(), other)]);
        assert_eq!(user(&padded, "10.1.2.3"), Ok("alice\u{a0}".to_owned()));
        headers.append(&name, HeaderValue::from_static("bob"));
        assert_eq!(user(&headers, "10.1.2.3"), Err(Denied::Unknown));
    }
}
