//! HTTP/2 at frame level and HTTP/1.1, so that every kind of trouble on the wire can be played.

pub(crate) mod client_auth;
mod connection;
mod frame;
mod frames;
mod http1;
mod http2;
mod ledger;
mod message;
mod tls;

pub(crate) use connection::{Client, Connection};
pub(crate) use message::{Answer, Inbound, html, json_response, response};
pub(crate) use tls::{Accept, serve};
