//! The push server: intake, delivery workers, feedback, operations.
//!
//! `api/` takes requests, `intake.rs` hands them to the store, `worker/` releases windows and delivers,
//! `feedback/` tells others of dead tokens, `board/` remembers what was seen lately and `console/` shows it, `app.rs` wires it together.

mod api;
mod app;
mod board;
mod check;
mod client;
mod compat;
mod config;
mod console;
mod expiries;
mod feedback;
mod halting;
mod identity;
mod intake;
mod metrics;
mod reloads;
mod senders;
mod sharing;
mod wiki;
mod worker;

pub use api::{intake_openapi, public_openapi};
pub use app::{Parts, PushServer, StartError};
pub use check::Tried;
pub use config::{
    ApnsSection, BrowserKey, EventConfig, FcmSection, MariaDbConfig, Providers, PublicConfig,
    PushConfig, StoreUrl, WebPushSection,
};
pub use expiries::Expiries;
pub use intake::{App, Intake, IntakeSettings};
pub use metrics::{BUCKETS, describe_metrics};
pub use senders::{Senders, senders};
pub use worker::{Delivery, DeliveryParts, DeliverySettings};
