//! A sandbox in the test's process, and clients for its ports that are none of ours.

mod client;
mod keys;
mod sandbox;

pub(crate) use client::{Http1, Http2, Raw, Reply};
pub(crate) use keys::{AppKey, encrypt};
pub(crate) use sandbox::Rig;
