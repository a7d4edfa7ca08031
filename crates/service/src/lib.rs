//! What every server here shares: configuration reading, clock, lifecycle, listeners, problems, auth, health, telemetry.

pub mod auth;
pub mod body;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod health;
pub mod http_metrics;
pub mod lifecycle;
pub mod listen;
pub mod places;
pub mod problem;
pub mod reload;
pub mod request_id;
pub mod supervisor;
pub mod telemetry;
pub mod text_time;
pub mod traces;
