//! Talking to APNs, FCM and Web Push: pure requests and replies, one HTTP/2 client.
//!
//! Each provider has the same files: `config` (what an operator sets), `request` (pure: a push to bytes), `reply` (pure: an answer to a
//! [`Verdict`]), `sender` (the only one that connects). A provider's answer is data; only "no answer" is an error, and a sender turns
//! that into a verdict too.

pub mod apns;
mod current;
pub mod fcm;
pub mod http2;
pub mod jwt;
pub mod oauth;
mod retry_after;
mod sender;
mod tls;
pub mod webpush;

pub use current::Current;
pub use retry_after::parse_retry_after;
pub use sender::{Now, Push, Sender};
pub use tls::{TlsError, client_tls};

use reveille_model::Verdict;
