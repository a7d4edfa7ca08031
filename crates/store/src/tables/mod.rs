//! What stores with tables share: how many targets stand in one row, how counts change, in which order a release goes. No driver is named here.

mod change;
mod mixing;
mod packed;
mod plan;

pub use change::{Change, Shape};
pub use mixing::{Kind, Mixing};
pub use packed::{
    fitting, nth_id, nth_text, pack_ids, pack_numbers, pack_texts, unpack_notifications,
    unpack_numbers, unpack_spread, unpack_subscriptions, unpack_texts,
};
pub use plan::{Entry, INDEX_BITS, Plan, ToPlan};
