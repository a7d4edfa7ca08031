//! Client code that people copy (`clients/`), as it stands there, before real servers: a page and its service worker in a real browser, Python, PHP, the commands
//! for curl, and what receives webhooks.
#![cfg(test)]

mod browser;
mod calls;
mod hooks;
mod pages;
mod relay;
mod rig;
mod types;
