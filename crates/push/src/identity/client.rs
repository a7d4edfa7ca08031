//! Asking other servers about people: the session store, and whoever publishes keys.

use std::sync::Arc;

use reveille_model::Duration;
use rustls::ClientConfig;

/// How they are reached.
#[derive(Debug, Clone)]
pub(crate) struct ClientSettings {
    /// Whom to trust.
    pub(crate) tls: Arc<ClientConfig>,
    /// How long an answer may take.
    pub(crate) time_max: Duration,
}

impl ClientSettings {
    /// A client that goes where it is told and nowhere else.
    pub(super) fn client(&self) -> Result<reqwest::Client, String> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(ClientConfig::clone(&self.tls))
            .no_proxy()
            .timeout(self.time_max.to_std())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())
    }
}
