//! Reading the configuration: one TOML file, environment variables for single values, secrets from files.
//!
//! Every problem is reported at once, each with its path and what to do.

mod asked;
mod document;
mod files;
mod problems;
mod section;
mod shown;
mod tls;
mod tracing;

pub use asked::Asked;
pub use document::{Document, LoadError, SECTIONS};
pub(crate) use files::Seen;
pub use problems::{ConfigProblem, Problems};
pub use section::Section;
pub use tls::ServerTls;
pub use tracing::TracingConfig;
