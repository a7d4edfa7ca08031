//! A real `MariaDB`, on a folder and port of its own; or a cluster of several.

mod echo;
mod galera;
mod network;
mod server;
mod single;

pub use self::echo::echo_tables;
pub use self::galera::Galera;
pub use self::network::{Link, LinkState};
pub use self::single::MariaDb;
