//! The page of `reveille dev`: a browser that subscribes, is woken and finds its inbox.

mod server;

pub(crate) use server::{Demo, DemoConfig};
