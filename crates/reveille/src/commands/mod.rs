//! One file for each command.

pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod dev;
mod echo;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod lab;
pub(crate) mod load;
pub(crate) mod manual;
pub(crate) mod migrate;
pub(crate) mod moving;
pub(crate) mod pause;
pub(crate) mod push;
pub(crate) mod quarantine;
mod reference;
pub(crate) mod sandbox;
pub(crate) mod sessions;
mod store;
