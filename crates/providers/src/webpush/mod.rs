//! Web Push (RFC 8030, 8291, 8292), and with it UnifiedPush (contract: providers.md §3).
//!
//! Endpoints are chosen by clients: [`Guard`] decides where we may send at all, at registration and again when connecting.

mod config;
mod encrypt;
mod guard;
mod opening;
mod reply;
mod request;
mod resolver;
mod sender;
mod service;
mod target;
mod vapid;

pub use config::{Urgency, WebPushConfig};
pub use encrypt::{RECORD_BYTES, encrypt, record};
pub use guard::{Guard, GuardMode, Refusal, is_public};
pub use reply::{Answer, reply};
pub use resolver::Lookup;
pub use sender::WebPushSender;
pub use service::Service;
pub use target::{Target, TargetError};
pub use vapid::{VapidKey, VapidKeys};
