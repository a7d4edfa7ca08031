//! What is known of one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reveille_model::Provider;

use super::message::{Answer, Inbound};
use crate::state::State;
use crate::{apns, fcm, webpush};

/// What a client showed in its TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Unknown,
    /// It has a certificate that was verified.
    Certified,
}

/// One connection of a client to a look-alike.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) state: Arc<State>,
    pub(crate) provider: Provider,
    pub(crate) client: Client,
    /// What APNs keeps of the provider tokens used on it.
    pub(crate) session: apns::Session,
    is_proven: AtomicBool,
}

impl Connection {
    pub(super) fn new(state: Arc<State>, provider: Provider, client: Client) -> Self {
        let (session, is_proven) = (apns::Session::default(), AtomicBool::new(false));
        Self { state, provider, client, session, is_proven }
    }

    pub(super) async fn answer(&self, inbound: Inbound) -> Answer {
        match self.provider {
            Provider::Apns => apns::answer(self, inbound).await,
            Provider::Fcm => fcm::answer(&self.state, inbound).await,
            Provider::WebPush => webpush::answer(&self.state, inbound).await,
        }
    }

    /// The client has shown who it is, so that it may open more than one stream.
    pub(crate) fn prove(&self) {
        self.is_proven.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_proven(&self) -> bool {
        self.provider != Provider::Apns || self.is_proven.load(Ordering::Relaxed)
    }
}
