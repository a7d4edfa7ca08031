//! What runs without being asked: windows are released, wake-ups delivered and settled, old things forgotten.

mod delivery;
mod settler;
mod sweeper;
mod windows;

pub use delivery::{Delivery, DeliverySettings};
pub(crate) use sweeper::Sweeper;
pub use windows::Windows;
