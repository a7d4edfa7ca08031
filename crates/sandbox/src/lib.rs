//! Look-alike APNs, FCM and Web Push services with faults on demand.
//!
//! For people who want to point their own push service at something that answers as the real ones do, and for our own tests. Built: FCM
//! and the OAuth token endpoint before it. Everything that arrives can be read, and every documented reply can be asked for, at the
//! control port.

mod config;
mod control;
mod fault;
mod fcm;
mod init;
mod oauth;
mod received;
mod server;
mod state;
mod transport;

pub use config::SandboxConfig;
pub use init::{InitError, Ports, init};
pub use received::Received;
pub use server::{Sandbox, SandboxError, Watch};
