//! Who runs a push service, told by its host (contract: providers.md §3.4).

use reveille_model::{CredentialSet, Provider};

/// A push service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Mozilla's autopush: Firefox, and UnifiedPush through it.
    Mozilla,
    /// Google's: Chrome, Brave, Opera, Samsung, Edge on Android.
    Google,
    /// Apple's: Safari, home-screen apps.
    Apple,
    /// Microsoft's WNS: Edge on Windows.
    Microsoft,
    /// Anyone: UnifiedPush servers, sandboxes.
    Other,
}

/// The hosts of the services; sub-domains count.
const HOSTS: [(&str, Service); 6] = [
    ("push.services.mozilla.com", Service::Mozilla),
    ("fcm.googleapis.com", Service::Google),
    ("jmt17.google.com", Service::Google),
    ("android.googleapis.com", Service::Google),
    ("push.apple.com", Service::Apple),
    ("notify.windows.com", Service::Microsoft),
];

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Mozilla, Self::Google, Self::Apple, Self::Microsoft, Self::Other];

    /// The service at a host.
    pub fn at(host: &str) -> Self {
        HOSTS
            .into_iter()
            .find(|(known, _)| is_or_is_under(host, known))
            .map_or(Self::Other, |(_, service)| service)
    }

    /// Whether a host is all there is of a known service's way in.
    pub(super) fn is_only_host(host: &str) -> bool {
        ["updates.push.services.mozilla.com", "fcm.googleapis.com", "web.push.apple.com"]
            .contains(&host)
    }

    /// Its word: the name of its credential set.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mozilla => "mozilla",
            Self::Google => "google",
            Self::Apple => "apple",
            Self::Microsoft => "microsoft",
            Self::Other => "other",
        }
    }

    /// Its credential set: one service's trouble never slows another.
    pub fn set(self) -> CredentialSet {
        CredentialSet::new(Provider::WebPush, self.as_str()).expect("the words are names")
    }
}

/// Whether a host is `domain` or one of its sub-domains.
pub(super) fn is_or_is_under(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::Service;

    #[test]
    fn services_are_known_by_their_hosts() {
        for (host, service) in [
            ("updates.push.services.mozilla.com", Service::Mozilla),
            ("fcm.googleapis.com", Service::Google),
            ("web.push.apple.com", Service::Apple),
            ("wns2-par02p.notify.windows.com", Service::Microsoft),
            ("evilfcm.googleapis.com.example", Service::Other),
            ("notfcm.googleapis.com.evil", Service::Other),
            ("xpush.apple.com", Service::Other),
            ("ntfy.example", Service::Other),
        ] {
            assert_eq!(Service::at(host), service, "{host}");
        }
        assert_eq!(Service::Mozilla.set().to_string(), "webpush.mozilla");
    }
}
