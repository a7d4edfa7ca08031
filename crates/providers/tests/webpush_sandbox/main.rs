//! Web Push on the wire against the sandbox: every documented answer in the words of each service, our keys, and where we never send.
#![cfg(test)]

mod answers;
mod bounds;
mod guard;
mod keys;
mod peculiar;
mod request;
mod rig;
mod server;
mod transport;
