//! APNs on the wire against the sandbox: every documented answer, and every kind of trouble a connection can have.
#![cfg(test)]

mod answers;
mod certificate;
mod connections;
mod renewal;
mod request;
mod rig;
mod tokens;
mod trouble;
