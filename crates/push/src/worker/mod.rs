//! What runs without being asked: windows are released, wake-ups delivered and settled, old things forgotten.

mod delivery;
mod report;
mod scopes;
mod settler;
mod sweeper;
mod windows;

pub use delivery::{Delivery, DeliveryParts, DeliverySettings};
pub(crate) use sweeper::Sweeper;
pub use windows::Windows;
