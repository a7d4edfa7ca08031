//! A sandbox that stands for all push services under their own names, and senders to it.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use reveille_model::{DryRun, Duration, MessageType, Outcome, Timestamp, Verdict};
use reveille_providers::jwt::SigningKey;
use reveille_providers::webpush::{
    Guard, Lookup, Target, Urgency, VapidKey, VapidKeys, WebPushConfig, WebPushSender,
};
use reveille_providers::{Now, Push, client_tls};
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_testkit::{ManualClock, TestSandbox};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde_json::{Value, json};

pub(crate) const MOZILLA: &str = "updates.push.services.mozilla.com";
pub(crate) const GOOGLE: &str = "fcm.googleapis.com";
pub(crate) const APPLE: &str = "web.push.apple.com";
pub(crate) const MICROSOFT: &str = "wns2-par02p.notify.windows.com";
/// Somebody's own `UnifiedPush` server.
pub(crate) const OWN: &str = "push.example.org";
const HOSTS: [&str; 5] = [MOZILLA, GOOGLE, APPLE, MICROSOFT, OWN];

pub(crate) struct Rig {
    pub(crate) sandbox: TestSandbox,
    /// What senders believe.
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) guard: Guard,
}

impl Rig {
    pub(crate) async fn start(more: &str) -> Self {
        let sandbox = TestSandbox::start(more).await;
        let port = sandbox.webpush_port;
        let origins = HOSTS.map(|host| format!("https://{host}:{port}")).to_vec();
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        Self { sandbox, clock, guard: Guard { origins, ..Guard::default() } }
    }

    pub(crate) fn now(&self) -> Now {
        let clock = Arc::clone(&self.clock);
        Arc::new(move || clock.now())
    }

    /// The key that `init` made.
    pub(crate) fn key(&self) -> VapidKey {
        VapidKey::new(SigningKey::from_file(&self.sandbox.file("vapid.pem")).unwrap())
    }

    pub(crate) fn config(&self, keys: Vec<VapidKey>) -> WebPushConfig {
        WebPushConfig {
            keys: VapidKeys::new(keys, "mailto:ops@example.org".to_owned()),
            guard: Arc::new(self.guard.clone()),
            tls: tls_for_any_name(&self.sandbox.file("ca.pem")),
            urgency: Urgency::Normal,
            proxy: None,
        }
    }

    /// A sender for whom every name leads to the sandbox's machine, which is this one.
    pub(crate) fn sender_of(&self, config: WebPushConfig) -> WebPushSender {
        let here = Arc::new(Names::of([Ok(vec![Ipv4Addr::LOCALHOST.into()])]));
        WebPushSender::with_lookup(config, self.now(), here).unwrap()
    }

    pub(crate) fn sender(&self) -> WebPushSender {
        self.sender_of(self.config(vec![self.key()]))
    }

    /// A browser's subscription at a host; the sandbox answers it in this style.
    pub(crate) fn subscription(&self, (host, style): (&str, &str), token: &str) -> Value {
        let mut json = self.sandbox.subscription(style, token);
        let port = self.sandbox.webpush_port;
        json["endpoint"] = json!(format!("https://{host}:{port}/{style}/{token}"));
        json
    }

    pub(crate) fn push(&self, at: (&str, &str), token: &str) -> Push {
        self.push_to(&self.subscription(at, token))
    }

    pub(crate) fn push_to(&self, subscription: &Value) -> Push {
        push(&Target::from_json(subscription, &self.guard).unwrap(), self.clock.now())
    }

    pub(crate) async fn fault(&self, mut fault: Value) {
        fault["provider"] = json!("webpush");
        let answer = self.sandbox.control.post("/faults", &fault).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    pub(crate) async fn stats(&self) -> Value {
        self.sandbox.control.get("/stats").await.json()["providers"]["webpush"].clone()
    }

    /// What has arrived, oldest first.
    pub(crate) async fn received(&self) -> Vec<Value> {
        let text = self.sandbox.control.get("/received?provider=webpush").await.text;
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) fn push(target: &Target, now: Timestamp) -> Push {
    Push {
        token: target.to_token().unwrap(),
        topic: None,
        message_type: MessageType::parse("checkEchoV1").unwrap(),
        nonce: None,
        dry_run: DryRun::No,
        expires_at: now.plus(Duration::from_s(3600)),
        id: [7; 16],
    }
}

/// A push to a browser at a server of our own.
pub(crate) fn push_to_port(rig: &Rig, port: u16) -> Push {
    let mut json = rig.subscription((OWN, "up"), "b");
    json["endpoint"] = json!(format!("https://{OWN}:{port}/up/b"));
    rig.push_to(&json)
}

/// What a verdict comes down to.
pub(crate) fn said(verdict: Verdict) -> (Outcome, &'static str) {
    (verdict.outcome, verdict.reason.0)
}

/// A key nobody has seen before.
pub(crate) fn fresh_key() -> (String, VapidKey) {
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let key = VapidKey::new(SigningKey::from_pem(pem.as_bytes()).unwrap());
    (pem, key)
}

/// What a resolver says: one answer after another, the last one for ever.
pub(crate) struct Names {
    answers: Mutex<VecDeque<io::Result<Vec<IpAddr>>>>,
    asked: AtomicUsize,
}

impl Names {
    pub(crate) fn of(answers: impl IntoIterator<Item = io::Result<Vec<IpAddr>>>) -> Self {
        let answers = Mutex::new(answers.into_iter().collect());
        Self { answers, asked: AtomicUsize::new(0) }
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Lookup for Names {
    async fn addresses(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let is_last = answers.len() == 1;
        match answers.front().expect("an answer") {
            Ok(addresses) if is_last => Ok(addresses.clone()),
            Err(error) if is_last => Err(io::Error::new(error.kind(), error.to_string())),
            _ => answers.pop_front().expect("an answer"),
        }
    }
}

/// Takes the sandbox's certificate, which is for `localhost`, for every name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = ServerName::try_from("localhost").unwrap();
        self.0.verify_server_cert(end_entity, intermediates, &name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn tls_for_any_name(ca_file: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file).unwrap()).unwrap();
    let verifier = WebPkiServerVerifier::builder(Arc::new(roots)).build().unwrap();
    let mut tls = ClientConfig::clone(&client_tls(Some(ca_file)).unwrap());
    tls.dangerous().set_certificate_verifier(Arc::new(AnyName(verifier)));
    Arc::new(tls)
}
