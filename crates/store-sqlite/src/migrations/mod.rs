//! The schema and its changes. A change is only ever added, with a test from the state before it.

mod apply;

pub(crate) use apply::{SCHEMA_VERSION, migrate, migrate_push};
