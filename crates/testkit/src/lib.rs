//! Fakes and fixtures for tests; nothing but tests uses it.

mod app;
mod cassandra;
mod clock;
mod environment;
mod http;
mod mariadb;
mod process;
mod receiver;
mod sandbox;
mod sender;
mod temporary;
mod wiki;

pub use app::{PushApp, metrics};
pub use cassandra::Cassandra;
pub use clock::ManualClock;
pub use environment::{
    chromium, is_long, is_written, mediawiki, needs_all, node, php, prometheus, python, rows,
    systemd,
};
pub use http::{Answer, Client};
pub use mariadb::{Galera, Link, LinkState, MariaDb, echo_tables};
pub use process::Server;
pub use receiver::{Delivered, Receiver};
pub use sandbox::{TestSandbox, free_port, free_port_range, free_ports};
pub use sender::StubSender;
pub use temporary::Dir;
pub use wiki::{RealWiki, Visitor};

/// Chooses the crypto library, once for each test process.
pub fn install_crypto() {
    // Chosen by another test of this process: the same one.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
}
