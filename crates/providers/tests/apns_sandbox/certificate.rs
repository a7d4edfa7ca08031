//! A client certificate instead of provider tokens.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reveille_model::{Delay, Outcome, Timestamp};
use reveille_providers::Sender as _;
use reveille_providers::apns::{ApnsConfig, Certificate, CertificateError};
use reveille_testkit::Dir;
use serde_json::json;

use super::rig::{Rig, count, push, send_many};

/// 6 May 2031.
const NOT_AFTER: Timestamp = Timestamp::from_ms(1_935_792_000_000);

/// Files of an authority and of a certificate that it signed.
pub(crate) struct Files(Dir);

impl Files {
    pub(crate) fn new(ends_in: i32) -> Self {
        let dir = Dir::new();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let authority = ca.self_signed(&ca_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let mut client =
            CertificateParams::new(vec!["org.wikimedia.wikipedia".to_owned()]).unwrap();
        client.not_after = rcgen::date_time_ymd(ends_in, 5, 6);
        let certificate = client.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap().pem();
        let other = KeyPair::generate().unwrap();
        for (name, text) in [
            ("ca.pem", authority),
            ("client.pem", certificate),
            ("client.key", key.serialize_pem()),
            ("other.key", other.serialize_pem()),
            ("garbage.pem", "garbage".to_owned()),
        ] {
            std::fs::write(dir.join(name), text).unwrap();
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn read(
        &self,
        certificate: &str,
        key: &str,
    ) -> Result<Certificate, CertificateError> {
        Certificate::from_files(&self.path(certificate), &self.path(key))
    }

    /// A sandbox that trusts the authority.
    pub(crate) async fn rig(&self) -> Rig {
        Rig::start(&format!("apns_client_ca_file = {:?}", self.path("ca.pem"))).await
    }
}

pub(crate) fn with_certificate(rig: &Rig, certificate: Certificate) -> ApnsConfig {
    let config = rig.config();
    let tls = certificate.client_tls(&config.tls).unwrap();
    ApnsConfig { provider_key: None, tls, ..config }
}

#[tokio::test]
async fn a_certificate_stands_for_provider_tokens() {
    let files = Files::new(2031);
    let rig = files.rig().await;
    let certificate = files.read("client.pem", "client.key").unwrap();
    assert_eq!(certificate.not_after, NOT_AFTER);
    let sender = rig.sender_of(with_certificate(&rig, certificate));
    sender.check(push("aa").topic.as_ref()).await.unwrap();
    assert_eq!(count(&send_many(&sender, 50, "aa").await, Outcome::Accepted), 50);
    let received = rig.received().await;
    assert!(received.iter().all(|push| push["authorized_by"] == "certificate"));
    // There is no token to renew.
    rig.fault(json!({"reply": "unauthenticated", "count": 1})).await;
    let verdict = sender.send(&push("bb")).await;
    let expected = (Outcome::ConfigError, "ExpiredProviderToken");
    assert_eq!((verdict.outcome, verdict.reason.0), expected);
    // A token goes on being taken at the same port.
    assert_eq!(rig.sender().send(&push("cc")).await.outcome, Outcome::Accepted);
    assert_eq!(rig.received().await.last().unwrap()["authorized_by"], "SANDBOXKEY");
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_trouble_and_no_verdict() {
    let (files, ended) = (Files::new(2031), Files::new(2001));
    let rig = files.rig().await;
    let foreign = Files::new(2031);
    for other in [&ended, &foreign] {
        let certificate = other.read("client.pem", "client.key").unwrap();
        let sender = rig.sender_of(with_certificate(&rig, certificate));
        let outcome = sender.send(&push("aa")).await.outcome;
        let (soon, later) = (Delay::Unanswered, Delay::Unreachable);
        assert!([soon, later].map(Outcome::RetryMessage).contains(&outcome), "{outcome:?}");
    }
    assert_eq!(rig.stats(0).await["received"], 0);
}

#[test]
fn files_that_are_no_pair_are_told_apart() {
    reveille_testkit::install_crypto();
    let files = Files::new(2031);
    let tls = reveille_providers::client_tls(Some(&files.path("ca.pem"))).unwrap();
    for (certificate, key, expected) in [
        ("client.pem", "client.key", None),
        ("garbage.pem", "client.key", Some("certificate in PEM")),
        ("absent.pem", "client.key", Some("cannot read it")),
        ("client.key", "client.key", Some("certificate in PEM")),
        ("client.pem", "garbage.pem", Some("private key in PEM")),
        ("client.pem", "other.key", Some("do not belong together")),
    ] {
        let made =
            files.read(certificate, key).and_then(|certificate| certificate.client_tls(&tls));
        let what = made.err().map(|error| error.to_string());
        assert_eq!(what.is_some(), expected.is_some(), "{certificate} {key}: {what:?}");
        let what = what.unwrap_or_default();
        assert!(what.contains(expected.unwrap_or_default()), "{certificate} {key}: {what}");
    }
}
