//! Steps that the cases of cohorts and of company share.

use reveille_model::{
    CohortId, CohortSizes, CredentialSet, Duration, Marked, MessageType, NewSubscription, Provider,
    SubscriptionId, Timestamp, Token, Topic,
};

use super::scene::{Scene, TO_MUSTER, at, set, user};
use crate::{Expanded, Group, Leaving, Mix};

pub(super) const SIZES: CohortSizes = CohortSizes { form: 4, floor: 2 };

pub(super) fn apns() -> CredentialSet {
    CredentialSet::new(Provider::Apns, "app").expect("a name")
}

pub(super) fn mix(sizes: Option<CohortSizes>) -> Mix {
    Mix {
        sizes,
        silent: [set(), apns()].into(),
        message_type: MessageType::parse("checkEchoV1").expect("a word"),
        ttl: Duration::from_s(3_600),
        ghost_after_erasure: true,
    }
}

impl Scene {
    pub(super) async fn mix(&self, sizes: Option<CohortSizes>) {
        self.store.mix(mix(sizes)).await.expect("mix");
    }

    /// Registers a phone for each user: `a` has the token `phone-a`.
    pub(super) async fn phones(&self, names: &str) {
        for name in names.chars() {
            self.register(&name.to_string(), &format!("phone-{name}"), at(0)).await;
        }
    }

    /// Registers an iPhone for each user.
    pub(super) async fn iphones(&self, names: &str) {
        for name in names.chars() {
            self.iphone(name, "org.example.app", &iphone(name)).await;
        }
    }

    pub(super) async fn iphone(&self, name: char, topic: &str, token: &str) -> SubscriptionId {
        let new = NewSubscription {
            user: user(&name.to_string()),
            set: apns(),
            topic: Some(Topic::parse(topic).expect("a topic")),
            token: Token::parse(Provider::Apns, token).expect("a token"),
        };
        let mut id = [u8::try_from(name).expect("a letter"); 16];
        for (place, byte) in id.iter_mut().zip(token.bytes().rev()) {
            *place ^= byte;
        }
        let id = SubscriptionId::from_bytes(id);
        self.store.put(new, id, 3, at(0)).await.expect("put");
        id
    }

    /// Takes the devices of a user at one provider away.
    pub(super) async fn lose(&self, name: char, provider: Provider) {
        let user = user(&name.to_string());
        for device in self.store.list(&user).await.expect("list") {
            if device.set.provider() == provider {
                assert!(self.store.delete(&user, device.id).await.expect("delete").is_some());
            }
        }
        self.ledger().await;
    }

    /// Lets everybody form cohorts who can, all of a nursery in one. Returns how many nurseries there were.
    pub(super) async fn form(&self) -> usize {
        let nurseries = self.store.nurseries().await.expect("nurseries");
        for nursery in &nurseries {
            let groups: Vec<Group> = nursery.groups.iter().map(|(group, _)| *group).collect();
            let cohorts = vec![groups];
            assert!(self.store.found(nursery.stratum, cohorts).await.expect("found"));
            self.ledger().await;
        }
        nurseries.len()
    }

    pub(super) async fn marked(&self, until: Timestamp) -> Vec<Marked> {
        self.store.marked(until).await.expect("marked")
    }

    /// Whether we are asked to muster, once what is scheduled is brought in.
    async fn is_asked(&self, until: Timestamp) -> bool {
        let mut asked = Expanded::default();
        while asked == Expanded::default() {
            asked = self.expand(until, 0).await;
        }
        asked == TO_MUSTER
    }

    pub(super) async fn lead(&self, until: Timestamp, ids: &[CohortId]) {
        assert!(self.is_asked(until).await);
        let paid_at = until.plus(Duration::from_s(100));
        let leaving = ids.iter().map(|id| Leaving { id: *id, paid_at }).collect();
        assert!(self.store.lead(until, leaving).await.expect("lead"));
        self.ledger().await;
    }

    /// Lets every marked cohort leave.
    pub(super) async fn lead_marked(&self, until: Timestamp) {
        assert!(self.is_asked(until).await);
        let marked = self.marked(until).await;
        self.lead(until, &marked.iter().map(|each| each.cohort.id).collect::<Vec<_>>()).await;
    }

    /// Ends a window and lets every marked cohort leave. Returns the tokens that are woken, sorted.
    pub(super) async fn leave(&self, until: Timestamp) -> Vec<String> {
        self.store.close(until).await.expect("close");
        if self.is_asked(until).await {
            self.lead_marked(until).await;
        }
        self.end_window(until).await;
        self.woken(until).await
    }

    /// The tokens that are due, sorted; they are sent.
    pub(super) async fn woken(&self, now: Timestamp) -> Vec<String> {
        let lease = u64::try_from(now.as_s()).expect("positive");
        let mut claimed = self.claim(now, lease).await;
        claimed.extend(self.claim_of(apns(), now, 1_000 + lease).await);
        self.finish(&claimed, now).await;
        let mut tokens: Vec<String> =
            claimed.iter().map(|each| each.token.expose().to_owned()).collect();
        tokens.sort_unstable();
        tokens
    }

    pub(super) async fn live(&self) -> Vec<(u64, u64)> {
        let census = self.store.census(at(0)).await.expect("census");
        assert_eq!(census.partial, 0);
        census.sizes
    }

    pub(super) async fn in_nurseries(&self) -> Vec<(u64, u64)> {
        self.store.census(at(0)).await.expect("census").provisional
    }

    pub(super) async fn forget(&self, name: &str) {
        self.store.delete_all(&user(name)).await.expect("delete");
        self.ledger().await;
    }
}

pub(super) fn phones(names: &str) -> Vec<String> {
    names.chars().map(|name| format!("phone-{name}")).collect()
}

/// Tokens of iPhones, which come before those of phones.
pub(super) fn iphones(names: &str) -> Vec<String> {
    names.chars().map(iphone).collect()
}

fn iphone(name: char) -> String {
    format!("{:064x}", u32::from(name))
}
