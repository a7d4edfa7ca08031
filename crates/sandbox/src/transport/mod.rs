//! HTTP/2 at frame level and HTTP/1.1, so that every kind of trouble on the wire can be played.

mod http1;
mod http2;
mod message;
mod tls;

pub(crate) use message::{Answer, Inbound, json_response};
pub(crate) use tls::serve;
