//! Names to addresses, with the guard's look at every one of them. What is connected to is what was looked at, so that a name that changes
//! its address between two looks (DNS rebinding) gains nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::Guard;
use super::guard::is_public;

/// Finds the addresses of a name. Tests pass one that lies.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// All of them.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's resolver.
#[derive(Debug, Clone, Copy)]
pub(super) struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Why a name leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    /// It has an address that is not of the public internet.
    #[error("the name leads to an address that is not public")]
    Refused,
    /// There is no such name.
    #[error("there is no such name")]
    Unknown,
    /// It cannot be told now.
    #[error("the name cannot be resolved now")]
    Unavailable,
}

pub(super) struct GuardedResolver {
    pub(super) guard: Arc<Guard>,
    pub(super) lookup: Arc<dyn Lookup>,
    /// Places for lookups under way.
    pub(super) lookups: Arc<Semaphore>,
    /// The proxy's host, if there is one: it was configured, not chosen by a client.
    pub(super) proxy: Option<String>,
}

impl GuardedResolver {
    async fn addresses(&self, name: &str) -> Result<Vec<SocketAddr>, Unresolved> {
        let place = Arc::clone(&self.lookups).acquire_owned().await;
        let (lookup, name_of_task) = (Arc::clone(&self.lookup), name.to_owned());
        // A task of its own: the place is taken for as long as the lookup lasts, even if nobody waits for it any more.
        let looking = TaskTracker::new().spawn(async move {
            let _place = place;
            lookup.addresses(&name_of_task).await
        });
        let found = looking.await.map_err(|_| Unresolved::Unavailable)?;
        let addresses = found.map_err(|error| classify(&error))?;
        if addresses.is_empty() {
            return Err(Unresolved::Unknown);
        }
        let is_trusted = self.guard.is_exempt_host(name)
            || self.proxy.as_deref().is_some_and(|proxy| proxy.eq_ignore_ascii_case(name));
        // One bad address is enough: whoever owns the name put it there.
        if !is_trusted && !addresses.iter().copied().all(is_public) {
            return Err(Unresolved::Refused);
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = Self {
            guard: Arc::clone(&self.guard),
            lookup: Arc::clone(&self.lookup),
            lookups: Arc::clone(&self.lookups),
            proxy: self.proxy.clone(),
        };
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The resolver of the C library tells a name that does not exist from trouble only by its words.
fn classify(error: &io::Error) -> Unresolved {
    let text = error.to_string();
    let unknown = [
        "Name or service not known",
        "No address associated",
        "nodename nor servname",
        "does not resolve",
    ];
    if error.kind() == io::ErrorKind::NotFound || unknown.iter().any(|words| text.contains(words)) {
        Unresolved::Unknown
    } else {
        Unresolved::Unavailable
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::IpAddr;
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::{GuardedResolver, Lookup, Unresolved};
    use crate::webpush::Guard;

    struct Fixed(&'static [&'static str]);

    #[async_trait]
    impl Lookup for Fixed {
        async fn addresses(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
            match self.0 {
                [] => Err(io::Error::other("Name or service not known")),
                ["again"] => Err(io::Error::other("Temporary failure in name resolution")),
                texts => Ok(texts.iter().map(|text| text.parse().unwrap()).collect()),
            }
        }
    }

    async fn resolve(
        addresses: &'static [&'static str],
        guard: Guard,
    ) -> Result<usize, Unresolved> {
        let lookup = Arc::new(Fixed(addresses));
        let resolver = GuardedResolver {
            guard: Arc::new(guard),
            lookup,
            lookups: Arc::new(tokio::sync::Semaphore::new(1)),
            proxy: None,
        };
        resolver.addresses("push.example.org").await.map(|found| found.len())
    }

    #[tokio::test]
    async fn every_address_must_be_public() {
        let rows: [(&'static [&'static str], Result<usize, Unresolved>); 7] = [
            (&["1.1.1.1", "2606:4700::1"], Ok(2)),
            (&["127.0.0.1"], Err(Unresolved::Refused)),
            (&["1.1.1.1", "10.0.0.1"], Err(Unresolved::Refused)),
            (&["::ffff:169.254.169.254"], Err(Unresolved::Refused)),
            (&["fd00::1"], Err(Unresolved::Refused)),
            (&[], Err(Unresolved::Unknown)),
            (&["again"], Err(Unresolved::Unavailable)),
        ];
        for (addresses, expected) in rows {
            assert_eq!(resolve(addresses, Guard::default()).await, expected, "{addresses:?}");
        }
        let origins = vec!["https://push.example.org:8443".to_owned()];
        let trusted = Guard { origins, ..Guard::default() };
        assert_eq!(resolve(&["10.0.0.1"], trusted).await, Ok(1), "an operator said so");
    }
}
