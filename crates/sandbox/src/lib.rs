//! Look-alike APNs, FCM and Web Push services with faults on demand.
//!
//! For people who want to point their own push service at something that answers as the real ones do, and for our own tests: APNs with its
//! provider tokens and its moving stream limits, FCM and the OAuth token endpoint before it, and Web Push in the manners of six services,
//! which decrypts what it gets. Everything that arrives can be read, and every documented answer, and any other, can be asked for, at the
//! control port.

mod apns;
mod bounded;
mod config;
mod control;
mod delivery;
mod es256;
mod fault;
mod fcm;
mod identifiers;
mod init;
mod oauth;
mod received;
mod server;
mod state;
mod transport;
mod webpush;

pub use config::SandboxConfig;
pub use init::{InitError, Ports, init, init_with_cohorts};
pub use received::Received;
pub use server::{Sandbox, SandboxError, Watch};
