//! Apple Push Notification service, HTTP/2 provider API (contract: providers.md §1).

mod config;
mod reply;
mod request;
mod sender;
mod token;

pub use config::{ApnsConfig, Certificate, CertificateError, Kind, ProviderKey};
pub use reply::{Answer, Connection, reply};
pub use request::{body, request};
pub use sender::{ApnsConnections, ApnsSender};
pub use token::ProviderTokens;
