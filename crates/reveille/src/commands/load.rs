//! Reading the configuration.

use std::path::Path;

use reveille_push::PushConfig;
use reveille_sandbox::SandboxConfig;
use reveille_service::config::Document;

use crate::failure::Failure;

/// The push server's configuration, or every problem with it.
pub(crate) fn push_config(path: &Path) -> Result<PushConfig, Failure> {
    let document = Document::load(path)?;
    whole(PushConfig::read(&document), &document)
}

/// The sandbox's configuration, or every problem with it.
pub(crate) fn sandbox_config(path: &Path) -> Result<SandboxConfig, Failure> {
    let document = Document::load(path)?;
    whole(SandboxConfig::read(&document), &document)
}

/// What was read, if nothing is wrong with it.
pub(crate) fn whole<T>(read: Option<T>, document: &Document) -> Result<T, Failure> {
    match (read, document.problems().take()) {
        (Some(config), problems) if problems.is_empty() => Ok(config),
        (_, problems) => Err(Failure::Config(problems)),
    }
}
