//! The look-alikes on the wire, against clients that are none of ours: the `h2` crate, and requests written by hand.
#![cfg(test)]

mod apns;
mod rig;
mod webpush;
