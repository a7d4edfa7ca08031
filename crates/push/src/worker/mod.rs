//! What runs without being asked: company is gathered, windows are released, wake-ups delivered and settled, old things forgotten.

mod claiming;
mod company;
mod delivery;
mod muster;
mod privacy;
mod report;
mod scopes;
mod sending;
mod settlement;
mod settler;
mod sweeper;
mod windows;

pub(crate) use company::Company;
pub use delivery::{Delivery, DeliveryParts, DeliverySettings};
pub(crate) use muster::Muster;
pub(crate) use privacy::Privacy;
pub(crate) use sweeper::Sweeper;
pub(crate) use windows::Windows;
