//! Asking other servers: about people (the session store, whoever publishes keys), and to be told of dead tokens.

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
    pub(crate) fn client(&self) -> Result<reqwest::Client, String> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(ClientConfig::clone(&self.tls))
            .no_proxy()
            .timeout(self.time_max.to_std())
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())
    }
}

/// Why an answer was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    /// It has more bytes than that.
    #[error("its answer has more than {0} bytes")]
    TooLong(usize),
    /// It broke off.
    #[error("its answer broke off")]
    Broken,
}

/// All of an answer, unless it is longer than `bytes_max`.
pub(crate) async fn read_body(
    answer: &mut reqwest::Response,
    bytes_max: usize,
) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|_| Unread::Broken)? {
        if bytes.len() + part.len() > bytes_max {
            return Err(Unread::TooLong(bytes_max));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}
